"""Write .env.example from service.settings: `python scripts/env_example.py`, or `--check` it."""

import sys
import textwrap
from pathlib import Path
from typing import Final

from service.settings import ENVIRONMENT_PREFIX, Settings

FILE: Final = Path(__file__).parent.parent / ".env.example"
# These compose.yaml sets itself: a container has one right place for each.
FIXED: Final = frozenset({"data_dir", "storage", "host", "port", "metrics_host", "metrics_port"})
COMPOSE: Final = {
    "PUBLISH": ("127.0.0.1:8000", "Address and port of this host where the API is reached, by whoever can."),
    "TORCH_INDEX": (
        "",
        "Where images get PyTorch. None is PyPI's, with CUDA, for machines with and without a GPU; "
        "https://download.pytorch.org/whl/cpu is far smaller and runs on processors alone.",
    ),
    "TAG": ("0.1.0", "Version of our images: what a build makes, and what runs. An older one is a rollback."),
    "REVISION": ("unknown", "Commit that the images are labelled with at a build."),
    "API_MEMORY": ("1g", "Most memory of an API container."),
    "WORKER_MEMORY": ("8g", "Most memory of a worker; docs/operations.md says what it needs by frame size."),
    "VALKEY_MEMORY": ("768m", "Most memory of Valkey, twice its data for when it rewrites its file."),
    "VALKEY_MAXMEMORY": ("384mb", "Most data in Valkey; beyond it, new jobs are refused and none is lost."),
    "S3_MEMORY": ("2g", "Most memory of SeaweedFS."),
    "BACK_IS_INTERNAL": ("true", "false lets workers out of their network, to a Redis or an S3 elsewhere."),
    "TRAINING_DATA": ("./data/training", "Folder of this host that the trainer sees as /data."),
    "GPU": ("0", "Device that compose.gpu.yaml gives to workers, by its number or UUID."),
    "PROMETHEUS_PORT": ("9090", "Port on 127.0.0.1 of Prometheus, with --profile monitoring."),
    "GRAFANA_PORT": ("3000", "Port on 127.0.0.1 of Grafana, with --profile monitoring."),
}  # fmt: skip
HEAD: Final = """\
# Settings of `docker compose`: copy this to .env and change what you need; each line shows the default.
# Written by scripts/env_example.py from service/settings.py.
#
# Secrets need no place here. Those for the Valkey and the S3 server that come along are drawn at the first
# start, for each container its own. Those for others go here, where every container sees them, or better into
# files in the volume `keys` (docs/operations.md).

# --- The compose project
"""


def text() -> str:
    lines = [HEAD]
    for name, (default, what) in COMPOSE.items():
        lines.append(_entry(name, default, what))
    lines.append(f"# --- The service; {', '.join(sorted(FIXED))} are set by compose.yaml\n")
    for name, field in Settings.model_fields.items():
        if name in FIXED:
            continue
        default = field.get_default(call_default_factory=True)
        shown = "" if default is None else f"{default:g}" if isinstance(default, float) else str(default)
        assert field.description
        lines.append(
            _entry(f"{ENVIRONMENT_PREFIX}{name.upper()}", IN_COMPOSE.get(name, shown), field.description)
        )
    return "\n".join(lines)


# Defaults that compose.yaml puts in place of ours.
IN_COMPOSE: Final = {
    "api_processes": "2",
    "auth": "keys",
    "redis_url": "",  # of the Valkey that comes along, with a password of each container's own
    "s3_endpoint_url": "http://s3:8333",
}


def _entry(name: str, default: str, what: str) -> str:
    return "\n".join(
        [*textwrap.wrap(what, 116, initial_indent="# ", subsequent_indent="# "), f"#{name}={default}", ""]
    )


def main() -> int:
    if "--check" in sys.argv[1:]:
        if FILE.exists() and FILE.read_text() == text():
            return 0
        print(".env.example is not what service/settings.py says", file=sys.stderr)
        return 1
    FILE.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
