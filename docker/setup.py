"""First start of the compose project, as root in a container of its own: keys for S3, and owners for volumes.

It makes what is missing and leaves the rest, so it may run at every start. The keys are drawn here and stay
in their volume: none is in an image, in the environment or in the repository.
"""

import json
import secrets
import shutil
from pathlib import Path

KEYS = Path("/keys")
OWNED = ("/objects", "/scratch")  # volumes that containers without root write to
USER = 10001  # of every image of ours


def main() -> None:
    for folder in (KEYS, *map(Path, OWNED)):
        shutil.chown(folder, USER, USER)
    access, secret = KEYS / "upscaled_s3_access_key", KEYS / "upscaled_s3_secret_key"
    identities = KEYS / "s3.json"
    if not identities.exists():
        write(access, secrets.token_hex(10))
        write(secret, secrets.token_urlsafe(32))
        identity = {
            "name": "upscaled",
            "credentials": [{"accessKey": access.read_text(), "secretKey": secret.read_text()}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        write(
            identities, json.dumps({"identities": [identity]})
        )  # last: its presence says that all are there
        print("setup: made keys for S3")


def write(path: Path, text: str) -> None:
    aside = path.with_suffix(".new")
    aside.write_text(text)
    aside.chmod(0o400)
    shutil.chown(aside, USER, USER)
    aside.replace(path)


if __name__ == "__main__":
    main()
