"""All jobs, in Valkey: service/jobs/index.py tells what each method does."""

import secrets
from typing import cast

from service.jobs.index import FINISHED_PAGE, DueHook, Placed
from service.jobs.model import Job
from service.jobs.pace import KEPT, Measured
from service.jobs.redis import forms
from service.jobs.redis.client import RedisClient
from service.jobs.redis.errors import answering
from service.jobs.redis.scripts import PREFIX
from service.jobs.states import JobState


class RedisIndex(RedisClient):
    def active(self) -> list[str]:
        with answering():
            return cast(list[str], self._client.zrange(f"{PREFIX}active", 0, -1))

    def finished_before(self, time_s: float) -> list[str]:
        return self._ids_below("finished", time_s)

    def brief_before(self, time_s: float) -> list[str]:
        return self._ids_below("brief", time_s)

    def take_hooks(self, count: int, lease_s: float) -> list[DueHook]:
        lease_end, ids = self._run("take_hooks", count=count, lease_s=lease_s)
        return [DueHook(job_id=job_id, lease_end=float(lease_end)) for job_id in ids]

    def settle_hook(self, hook: DueHook, due_at: float | None) -> bool:
        return bool(self._run("settle_hook", id=hook.job_id, lease_end=hook.lease_end, due=due_at))

    def has_hook(self, job_id: str) -> bool:
        with answering():
            return self._client.zscore(f"{PREFIX}hooks", job_id) is not None

    def look(self, job_ids: "list[str]") -> dict[str, Placed]:
        found = [
            Placed(forms.job_of_list(fields), None if rank == "" else rank)
            for fields, rank in self._run("look", ids=job_ids)
            if fields
        ]
        return {placed.job.id: placed for placed in found}

    def positions(self, job_ids: "list[str]") -> dict[str, int]:
        with answering():
            pipe = self._client.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.zrank(f"{PREFIX}queued", job_id)
            ranks = cast("list[int | None]", pipe.execute())
        return {job_id: rank for job_id, rank in zip(job_ids, ranks, strict=True) if rank is not None}

    def queue_depth(self) -> int:
        with answering():
            return self._client.zcard(f"{PREFIX}active")

    def counts(self) -> dict[JobState, int]:
        with answering():
            counts = cast(dict[str, str], self._client.hgetall(f"{PREFIX}counts"))
        return {state: int(counts.get(state.value, 0)) for state in JobState}

    def now(self) -> float:
        with answering():
            seconds, microseconds = self._client.time()
        return seconds + microseconds / 1_000_000

    def is_complete(self) -> bool:
        with answering():
            return bool(self._client.exists(f"{PREFIX}complete"))

    def epoch(self) -> str:
        return str(self._run("epoch", fresh=secrets.token_hex(8)))

    def mark_complete(self, epoch: str) -> None:
        self._run("mark_complete", epoch=epoch)

    def memory_used(self) -> float:
        with answering():
            memory = cast(dict[str, int], self._client.info("memory"))
        return memory["used_memory"] / memory["maxmemory"] if memory["maxmemory"] else 0.0

    def ping(self) -> None:
        # A write, because a full or read-only server still answers PING.
        with answering():
            self._client.set(f"{PREFIX}ping", "1", ex=60)

    def index_owner(self, job_id: str) -> None:
        self._run("index_owner", id=job_id)

    def note_pace(self, name: str, measured: Measured) -> None:
        self._run("note_pace", name=name, measured=measured.model_dump_json(), kept=KEPT)

    def paces(self, name: str) -> "list[Measured]":
        with answering():
            texts = cast(tuple[str, ...], self._client.zrange(f"{PREFIX}pace:{name}", 0, -1))
        return [Measured.model_validate_json(text) for text in texts]

    def _ids_below(self, index: str, time_s: float) -> list[str]:
        with answering():
            return cast(
                list[str],
                self._client.zrangebyscore(
                    f"{PREFIX}{index}", "-inf", f"({time_s}", start=0, num=FINISHED_PAGE
                ),
            )

    def list(
        self, limit: int, cursor: str | None = None, *, owner: str | None = None
    ) -> tuple[list[Job], str | None]:
        index = "jobs" if owner is None else f"owned:{owner}"
        with answering():
            ids = cast(
                list[str],
                self._client.zrevrangebylex(
                    f"{PREFIX}{index}", f"({cursor}" if cursor else "+", "-", start=0, num=limit + 1
                ),
            )
            pipe = self._client.pipeline(transaction=False)
            for job_id in ids[:limit]:
                pipe.hgetall(f"{PREFIX}job:{job_id}")
            hashes = cast(list[dict[str, str]], pipe.execute())
        jobs = [forms.job_of_hash(fields) for fields in hashes if fields]
        return jobs, ids[limit - 1] if len(ids) > limit else None
