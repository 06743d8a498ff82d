"""The job store that the settings name."""

from service.jobs.redis.store import RedisStore
from service.settings import Settings


def open_store(settings: Settings) -> RedisStore:
    """No connection is made before the first call."""
    return RedisStore.connect(
        settings.redis_url, lease_s=settings.lease_s, attempts_max=settings.attempts_max
    )
