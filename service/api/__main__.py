"""Start the API: `python -m service.api`, in as many processes as `UPSCALED_API_PROCESSES` says.

Of several, each is a whole application (app.py) on the one port, and any of them shows the metrics of all.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from service import log
from service.settings import Settings

METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's; where processes meet
STOP_S_MAX = 5  # for answers under way; a long download is cut off and goes on by its range


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    settings = Settings()
    log.setup(settings)
    with _metrics_of_all(settings.api_processes):
        uvicorn.run(
            "service.api.app:create_app_from_env",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.api_processes,
            log_config=None,  # our own, set up with the application
            log_level="warning",
            access_log=False,  # requests are counted and timed in the metrics; a poll a second is no news
            timeout_graceful_shutdown=STOP_S_MAX,
        )
    return 0


@contextmanager
def _metrics_of_all(processes: int) -> Iterator[None]:
    """A folder of this start for the metrics of several processes, where none was given."""
    if processes == 1 or METRICS_DIR in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="upscaled-metrics-") as folder:
        os.environ[METRICS_DIR] = folder
        yield


if __name__ == "__main__":
    sys.exit(main())
