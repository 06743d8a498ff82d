"""What owners used, in Valkey: service/jobs/quotas.py tells what each method does."""

from typing import Any

from service.jobs.quotas import Amounts, Drawn, Quota, refused
from service.jobs.redis.client import RedisClient


class RedisUsage(RedisClient):
    def admit(self, owner: str, quota: Quota, asked: Amounts, *, unless_key: str | None = None) -> None:
        given = {"owner": owner, "quota": quota.model_dump(), "asked": dict(asked), "unless_key": unless_key}
        raise_if_refused(self._run("admit", **given))

    def take_in(self, upload_id: str, owner: str, quota: Quota, bytes_in: int) -> None:
        answer = self._run("take_in", id=upload_id, owner=owner, quota=quota.model_dump(), bytes=bytes_in)
        raise_if_refused(answer)

    def charge(self, job_id: str, megapixels: float) -> None:
        raise_if_refused(self._run("charge", id=job_id, megapixels=megapixels))

    def draw_requests(self, owner: str, limit: int, count: int) -> Drawn:
        granted, remaining, reset_s = self._run("draw_requests", owner=owner, limit=limit, count=count)
        return Drawn(granted=granted, remaining=remaining, reset_s=float(reset_s))


def raise_if_refused(answer: list[Any]) -> None:
    """Raises LimitReached where a script answered with `refusal` of lua/quotas.lua."""
    if answer[0] == "limit":
        _, what, limit, used, asked, reset_s = answer
        raise refused(what, float(limit), float(used), float(asked), float(reset_s))
