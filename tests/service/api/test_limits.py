"""What one key may use, as its holder meets it: 429, when to come back, and what is left."""

import pytest

from service.access import keys
from service.api.limits import Allowances
from service.errors import StoreUnavailable, TooManyRequests
from service.jobs.memory.store import MemoryStore
from service.jobs.quotas import Quota
from service.jobs.states import JobEvent
from tests.service.api.harness import Service
from tests.service.api.samples import CLIP
from tests.service.api.test_callers import Owner, closed

__all__ = ["closed"]


def owner(service: Service, **quota: int) -> Owner:
    return Owner(service, keys.create(service.storage, "ann", "user", Quota(**quota)))


def test_a_job_too_many_is_refused_and_leaves_nothing(closed: Service) -> None:
    ann = owner(closed, open_jobs=1)
    job_id = ann.post(idempotency_key="first")
    before = closed.objects()

    refused = closed.ask("POST", "/upscale", files={"file": ("b.mp4", CLIP)}, headers=ann.headers)
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too_many_open_jobs")
    assert refused.headers["retry-after"] == refused.headers["ratelimit-reset"]
    assert refused.headers["ratelimit-limit"] == "1"
    assert closed.objects() == before
    assert ann.post(idempotency_key="first") == job_id
    rerun = closed.ask("POST", f"/jobs/{job_id}/rerun", headers=ann.headers)
    assert rerun.status_code == 429
    closed.store.transition(job_id, JobEvent.CANCEL)
    ann.post(idempotency_key="second")


async def _never():
    raise AssertionError("nothing of the file was wanted")
    yield b""


def test_what_is_declared_too_large_for_the_day_is_not_read(closed: Service) -> None:
    ann = owner(closed, bytes_per_day=10)
    headers = ann.headers | {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "150000"}
    assert closed.ask("POST", "/upscale", content=_never(), headers=headers).status_code == 429


def test_bytes_of_a_day_are_used_up_by_files_and_by_uploads_in_pieces(closed: Service) -> None:
    ann = owner(closed, bytes_per_day=len(CLIP) + 10)
    tus = ann.headers | {"Tus-Resumable": "1.0.0"}
    ann.post()
    refused = closed.ask("POST", "/uploads", headers=tus | {"Upload-Length": "11"})
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/daily_limit")
    assert refused.json()["field"] == "bytes_per_day"
    assert int(refused.headers["retry-after"]) <= 86400
    assert list(closed.storage.list("uploads/")) == []
    assert closed.ask("POST", "/uploads", headers=tus | {"Upload-Length": "10"}).status_code == 201
    again = closed.ask("POST", "/upscale", files={"file": ("b.mp4", CLIP)}, headers=ann.headers)
    assert again.status_code == 429


def test_requests_are_counted_and_each_answer_tells_what_is_left(closed: Service) -> None:
    ann = owner(closed, requests_per_minute=3)
    app = closed.app  # one process: each `ask` would begin with an allowance of its own

    def ask(path: str = "/jobs"):
        return closed.run(lambda http: http.get(path, headers=ann.headers), app=app)

    left = [ask().headers["ratelimit-remaining"] for _ in range(3)]
    refused = ask()
    if refused.status_code == 200:  # the minute was over in between
        left = [refused.headers["ratelimit-remaining"], *(ask().headers["ratelimit-remaining"] for _ in "12")]
        refused = ask()
    assert left == ["2", "1", "0"]
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too_many_requests")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-policy"] == "3;w=60"
    assert ask("/healthz").status_code == 200


def test_an_admin_has_the_limits_of_its_key_alone(closed: Service) -> None:
    closed.settings = closed.settings.model_copy(update={"key_open_jobs_max": 1, "queue_max": 100})
    root = Owner(closed, keys.create(closed.storage, "root", "admin"))
    ann = Owner(closed, keys.create(closed.storage, "ann"))
    for number in range(3):
        root.post(idempotency_key=f"{number}")
    ann.post(idempotency_key="0")
    headers = ann.headers
    assert closed.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, headers=headers).status_code == 429
    keys.limit(closed.storage, "ann", Quota(open_jobs=2))
    ann.post(idempotency_key="1")


def test_what_processes_draw_together_is_never_more_than_the_limit() -> None:
    now = 120.0
    store = MemoryStore(lease_s=10, attempts_max=4, clock=lambda: now)
    processes = [Allowances(store, clock=lambda: now) for _ in range(3)]

    def let_in() -> int:
        count = 0
        for number in range(1000):
            process = processes[number % 3]
            try:
                while process.take("ann", 240) is None:
                    process.draw("ann", 240)
            except TooManyRequests:
                continue
            count += 1
        return count

    assert let_in() == 240
    assert let_in() == 0
    now += 60
    assert let_in() == 240


def test_while_the_store_is_away_requests_are_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore(lease_s=10, attempts_max=4)
    allowances = Allowances(store)

    def away(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(store, "draw_requests", away)
    for _ in range(10):
        while allowances.take("ann", 60) is None:
            allowances.draw("ann", 60)
