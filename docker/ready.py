"""Healthcheck of an image: `python -S ready.py PORT`; exit status 0 when /readyz answers 200.

Only a socket: a check runs every few seconds, and importing an HTTP client would cost more than the answer.
"""

import socket
import sys


def main(port: int) -> int:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=6) as connection:
            connection.settimeout(6)
            connection.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
    except OSError as error:
        print(error)
        return 1
    status, _, rest = answer.partition(b"\r\n")
    print(rest.partition(b"\r\n\r\n")[2].decode(errors="replace").strip())
    return 0 if status.split(b" ")[1:2] == [b"200"] else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
