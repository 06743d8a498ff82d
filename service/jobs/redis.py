"""JobStore in Valkey or Redis: what the API, the sweepers and all workers share. store.py tells the rules.

Each method is one Lua script (redis_scripts.py), so it is atomic and uses the server's clock. The client
sends a script again when its answer got lost, so each gives its repetition the first one's answer. Nothing
here retries for long: callers learn at once that the store is away (StoreUnavailable) and decide.
"""

import json
import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from service.jobs import redis_forms as forms
from service.jobs.manifest import Segment
from service.jobs.model import Job
from service.jobs.pace import KEPT, Measured
from service.jobs.quotas import UNLIMITED, Quota, asked_of_a_job
from service.jobs.redis_errors import answering
from service.jobs.redis_quotas import RedisUsage, raise_if_refused
from service.jobs.redis_scripts import PREFIX, Scripts
from service.jobs.states import TRANSITIONS, JobEvent, JobState, advance
from service.jobs.store import (
    ALIVE_S,
    CLAIM_S,
    FINISHED_PAGE,
    FIRST_IN_LINE,
    DueHook,
    FinishedPart,
    Lease,
    Line,
    Runtime,
    Step,
    StepRecord,
    Superseded,
    in_order,
    key_conflict,
    segment_step,
    too_many_attempts,
    unknown_job,
)

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0  # every script takes milliseconds; a server this slow is as good as gone
RETRIES = 2  # enough for a pooled connection that a restarted server has closed


class RedisStore(RedisUsage):
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

    # Jobs

    def create(
        self,
        job: Job,
        *,
        idempotency_key: str | None = None,
        quota: Quota = UNLIMITED,
        bytes_in: int = 0,
    ) -> Job:
        answer = self._run(
            "create",
            id=job.id,
            key=idempotency_key,
            digest=job.request_digest(),
            created_at=job.created_at,
            fields=forms.job_fields(job),
            owner=job.owner,
            quota=quota.model_dump(),
            asked=asked_of_a_job(job.purpose, bytes_in),
        )
        raise_if_refused(answer)
        if answer[0] == "conflict":
            raise key_conflict(idempotency_key)
        return forms.job_of_list(answer[1])

    def restore(
        self,
        job: Job,
        *,
        segments: Iterable[Segment] = (),
        parts: Mapping[int, FinishedPart] | None = None,
        fence_floor: int = 0,
        runtime: Runtime | None = None,
        idempotency_key: str | None = None,
    ) -> bool:
        done = [
            [segment_step(index), part.part_key, part.state_key or ""]
            for index, part in sorted((parts or {}).items())
        ]
        restored = self._run(
            "restore",
            id=job.id,
            key=idempotency_key,
            digest=job.request_digest(),
            created_at=job.created_at,
            updated_at=job.updated_at,
            fence_floor=fence_floor,
            segments=forms.layout(segments),
            parts=done,
            runtime=runtime,
            fields=forms.job_fields(job),
        )
        return bool(restored)

    def conclude(self, job: Job, *, idempotency_key: str | None = None) -> Job:
        fields = self._run(
            "conclude",
            id=job.id,
            key=idempotency_key,
            digest=job.request_digest(),
            created_at=job.created_at,
            updated_at=job.updated_at,
            state=job.state,
            frames_done=job.frames_done,
            fields=forms.job_fields(job),
        )
        return forms.job_of_list(fields)

    def claim(self, idempotency_key: str, job_id: str, *, instead_of: str | None = None) -> str:
        answer = self._run(
            "claim", key=idempotency_key, id=job_id, instead_of=instead_of, life_s=int(CLAIM_S)
        )
        return str(answer)

    def get(self, job_id: str) -> Job:
        with answering():
            fields = cast(dict[str, str], self._client.hgetall(f"{PREFIX}job:{job_id}"))
        if not fields:
            raise unknown_job(job_id)
        return forms.job_of_hash(fields)

    def delete(self, job_id: str) -> None:
        self._run("delete", id=job_id)

    def transition(self, job_id: str, event: JobEvent, *, lease: Lease | None = None, **changes: Any) -> Job:
        # Checked against the job as it stands, so that a wrong type is refused here and never stored.
        changed = self.get(job_id).with_changes(**changes) if changes else None
        by = {"step": "", "owner": "", "fence": ""} if lease is None else _held(lease)
        kind, *values = self._run(
            "change",
            **{**by, "id": job_id},
            event=event,
            token=secrets.token_hex(8),  # of this one call, for its repetition
            moves={state: moves[event] for state, moves in TRANSITIONS.items() if event in moves},
            fields=[] if changed is None else forms.job_fields(changed, changes),
        )
        if kind == "unknown":
            raise unknown_job(job_id)
        if kind == "superseded":
            raise Superseded(f"{job_id} {by['step']}")
        if kind == "illegal":
            advance(JobState(values[0]), event)  # raises IllegalTransition, in the table's words
        return forms.job_of_list(values[0])

    def add_notices(self, job_id: str, notices: Iterable[str]) -> None:
        if not self._run("add_notices", id=job_id, notices=list(notices)):
            raise unknown_job(job_id)

    # Steps

    def set_segments(self, job_id: str, segments: Iterable[Segment], runtime: Runtime | None = None) -> bool:
        answer = self._run("set_segments", id=job_id, segments=forms.layout(segments), runtime=runtime)
        if answer == "unknown":
            raise unknown_job(job_id)
        return bool(answer == "set")

    def take(
        self, owner: str, runtimes: Collection[Runtime] | None, *, told: tuple[str, Step] | None = None
    ) -> Lease | None:
        job_id, step = told or (None, None)
        answer = self._run(
            "take",
            owner=owner,
            runtimes=None if runtimes is None else sorted(runtimes),
            id=job_id,
            step=step,
            lease_s=self._lease_s,
        )
        return None if answer[0] == "no" else self._lease(owner, answer)

    def acquire(
        self, job_id: str, step: Step, owner: str, *, unless_next: Collection[Runtime] | None = None
    ) -> Lease | None:
        answer = self._run(
            "acquire",
            id=job_id,
            step=step,
            owner=owner,
            lease_s=self._lease_s,
            attempts_max=self._attempts_max,
            runtimes=None if unless_next is None else sorted(unless_next),
        )
        if answer[0] == "too_many":
            raise too_many_attempts(step, answer[1])
        return None if answer[0] == "no" else self._lease(owner, answer)

    def _lease(self, owner: str, answer: list[Any]) -> Lease:
        _, fence, expires_at, attempt, job_id, step = answer
        return Lease(
            job_id=job_id,
            step=step,
            owner=owner,
            fence=fence,
            expires_at=float(expires_at),
            life_s=self._lease_s,
            attempt=attempt,
        )

    def renew(self, lease: Lease, *, frames_done: int = 0) -> bool:
        return bool(self._run("renew", **_held(lease), lease_s=self._lease_s, frames_done=frames_done))

    def release(self, lease: Lease, *, only_for: Runtime | None = None) -> None:
        self._run("release", **_held(lease), only_for=only_for)

    def finish(
        self,
        lease: Lease,
        *,
        part_key: str | None = None,
        state_key: str | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> bool:
        stages = json.dumps(dict(seconds or {}))  # kept as it is, for whoever reads the step
        return bool(
            self._run("finish", **_held(lease), part_key=part_key, state_key=state_key, seconds=stages)
        )

    def steps(self, job_id: str) -> dict[Step, StepRecord]:
        with answering():
            flat = cast(dict[str, str], self._client.hgetall(f"{PREFIX}steps:{job_id}"))
        return forms.step_records(flat)

    def waiting(self, job_id: str) -> list[Step]:
        return in_order(self._run("waiting", id=job_id))

    def line_up(self, job_id: str) -> Line | None:
        answer = self._run("line_up", id=job_id, count=FIRST_IN_LINE)
        return forms.line(answer) if answer else None

    def announce(self, runtimes: Collection[Runtime], worker: str | None = None) -> None:
        self._run("announce", runtimes=sorted(runtimes), worker=worker)

    def worker_count(self) -> int:
        return int(self._run("worker_count", alive_s=ALIVE_S))

    def note_pace(self, name: str, measured: Measured) -> None:
        self._run("note_pace", name=name, measured=measured.model_dump_json(), kept=KEPT)

    def paces(self, name: str) -> "list[Measured]":
        with answering():
            texts = cast(tuple[str, ...], self._client.zrange(f"{PREFIX}pace:{name}", 0, -1))
        return [Measured.model_validate_json(text) for text in texts]

    def is_served(self, runtime: Runtime) -> bool:
        return bool(self._run("is_served", runtime=runtime))

    # The whole

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

    def _run(self, script: str, /, **given: Any) -> Any:
        with answering():
            return self._scripts.run(script, **given)


def _held(lease: Lease) -> dict[str, Any]:
    return {"id": lease.job_id, "step": lease.step, "owner": lease.owner, "fence": lease.fence}
