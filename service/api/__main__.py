"""Run the API in one process: `python -m service.api`. For several, uvicorn's own: see app.py."""

import sys
from types import FrameType

import uvicorn

from service.api.app import create_app_from_env
from service.settings import Settings

STOP_S_MAX = 5  # for answers under way; a long download is cut off and goes on by its range


class _Server(uvicorn.Server):
    """Tells the streams of events that we stop: uvicorn waits for them, and they for their jobs."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.services.stopping.set()  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def main() -> int:
    settings = Settings()
    config = uvicorn.Config(
        create_app_from_env(),
        host=settings.host,
        port=settings.port,
        log_config=None,  # our own, set up with the application
        log_level="warning",
        access_log=False,  # requests are counted and timed in the metrics; a poll a second is no news
        timeout_graceful_shutdown=STOP_S_MAX,
    )
    server = _Server(config)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
