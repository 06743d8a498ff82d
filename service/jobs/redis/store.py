"""JobStore in Valkey or Redis: what the API, the sweepers and all workers share. store.py tells the rules.

Each method is one Lua script (scripts.py), so it is atomic and uses the server's clock. The client
sends a script again when its answer got lost, so each gives its repetition the first one's answer. Nothing
here retries for long: callers learn at once that the store is away (StoreUnavailable) and decide.
"""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, cast

from service.jobs.manifest import Segment
from service.jobs.model import Job
from service.jobs.quotas import UNLIMITED, Quota, asked_of_a_job
from service.jobs.redis import forms
from service.jobs.redis.client import lease_fields
from service.jobs.redis.errors import answering
from service.jobs.redis.index import RedisIndex
from service.jobs.redis.scripts import PREFIX
from service.jobs.redis.steps import RedisSteps
from service.jobs.redis.usage import RedisUsage, raise_if_refused
from service.jobs.states import TRANSITIONS, JobEvent, JobState, advance
from service.jobs.steps import Lease, Runtime, Superseded, segment_step
from service.jobs.store import CLAIM_S, FinishedPart, key_conflict, unknown_job


class RedisStore(RedisSteps, RedisIndex, RedisUsage):
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
            **_recorded(job, idempotency_key),
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
            **_recorded(job, idempotency_key),
            updated_at=job.updated_at,
            fence_floor=fence_floor,
            segments=forms.layout(segments),
            parts=done,
            runtime=runtime,
        )
        return bool(restored)

    def conclude(self, job: Job, *, idempotency_key: str | None = None) -> Job:
        fields = self._run(
            "conclude",
            **_recorded(job, idempotency_key),
            updated_at=job.updated_at,
            state=job.state,
            frames_done=job.frames_done,
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
        by = {"step": "", "owner": "", "fence": ""} if lease is None else lease_fields(lease)
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


def _recorded(job: Job, idempotency_key: str | None) -> dict[str, Any]:
    """What every script is given that may be the first to record the job."""
    return {
        "id": job.id,
        "key": idempotency_key,
        "digest": job.request_digest(),
        "created_at": job.created_at,
        "fields": forms.job_fields(job),
    }
