"""A service to measure: `upscaled serve` on free ports in a folder that goes with it."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.integration.running import Running
from tests.servers import free_ports

JOB_S_MAX: Final = 3600.0
LOOK_S: Final = 0.01  # small pictures take a few hundredths of a second


class Measured(Running):
    """With as many threads as a user's service has; that of the tests computes with one."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port)
        self._environment = dict(os.environ)

    def succeeded(self, job_id: str, *, look_s: float = LOOK_S) -> dict[str, Any]:
        """The job, once it has ended well; asked for again after each `look_s`."""
        deadline = time.monotonic() + JOB_S_MAX
        while (job := self.job(job_id))["state"] != "succeeded":
            assert job["state"] not in {"failed", "cancelled"}, f"{job}\n{self.log}"
            assert time.monotonic() < deadline, f"{job}\n{self.log}"
            time.sleep(look_s)
        return job


@contextmanager
def running() -> Iterator[Measured]:
    with tempfile.TemporaryDirectory(prefix="upscaled-") as folder:
        service = Measured(Path(folder), *free_ports(1))
        with service:
            yield service
