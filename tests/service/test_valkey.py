"""The embedded Valkey: what it keeps, it keeps from others on the machine."""

import subprocess
import time
from pathlib import Path

import pytest
import redis

from service.serve import _answers_ping
from service.valkey import command, set_password
from tests.servers import free_ports


@pytest.mark.integration
def test_the_embedded_valkey_answers_only_those_who_can_read_its_folder(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    set_password(tmp_path)
    password = set_password(tmp_path)  # another at each start
    run = command(port, tmp_path)
    assert password not in " ".join(run)
    (held,) = [path for path in tmp_path.iterdir() if password in path.read_text()]
    assert held.stat().st_mode & 0o777 == 0o600
    server = subprocess.Popen(run)
    try:
        deadline = time.monotonic() + 30
        while not _answers_ping(port, password):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert not _answers_ping(port, "guessed")
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis.from_url(f"redis://:{password}@127.0.0.1:{port}/0") as owner:
            assert owner.ping()
    finally:
        server.terminate()
        server.wait(30)
