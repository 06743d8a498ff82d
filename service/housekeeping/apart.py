"""Apart: what goes wrong with one job stays with that job, and the others are still looked after."""

import logging
from collections.abc import Callable

from service.errors import StorageUnavailable, StoreUnavailable
from service.objects.base import Storage

log = logging.getLogger(__name__)


def goes_well(act: Callable[[], object], *, event: str, job_id: str, storage: Storage | None = None) -> bool:
    """Do it, and log as `event` what it raises; returns whether it raised nothing.

    What is away for all jobs alike is raised all the same, or each would be waited for.
    """
    try:
        act()
    except StoreUnavailable:
        raise
    except StorageUnavailable as error:
        if storage is not None:
            storage.ping()
        log.warning(event, extra={"job": job_id, "reason": str(error)})
    except Exception:  # whatever it is, it is of this job
        log.exception(event, extra={"job": job_id})
    else:
        return True
    return False
