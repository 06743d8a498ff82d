"""The connection to Valkey or Redis that the parts of its store share."""

from typing import Any, Self

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from service.jobs.redis.errors import answering
from service.jobs.redis.scripts import Scripts
from service.jobs.steps import Lease

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0  # every script takes milliseconds; a server this slow is as good as gone
RETRIES = 2  # enough for a pooled connection that a restarted server has closed


class RedisClient:
    def __init__(self, client: redis.Redis, *, lease_s: float, attempts_max: int) -> None:
        """The client must decode responses to text."""
        self._client = client
        self._lease_s = lease_s
        self._attempts_max = attempts_max
        self._scripts = Scripts(client)

    @classmethod
    def connect(cls, url: str, *, lease_s: float, attempts_max: int) -> Self:
        """No connection is made before the first call."""
        client = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            health_check_interval=30,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), RETRIES),
        )
        return cls(client, lease_s=lease_s, attempts_max=attempts_max)

    def close(self) -> None:
        self._client.close()

    def _run(self, script: str, /, **given: Any) -> Any:
        with answering():
            return self._scripts.run(script, **given)


def lease_fields(lease: Lease) -> dict[str, Any]:
    return {"id": lease.job_id, "step": lease.step, "owner": lease.owner, "fence": lease.fence}
