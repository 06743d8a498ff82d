"""Messages on their way to a real receiver, which may be away, slow or rude."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from service.api.shown.views import Viewer
from service.housekeeping.rebuilding import rebuild
from service.jobs import keys, manifest
from service.jobs.ending import end, erase
from service.jobs.ids import new_job_id
from service.jobs.manifest import Manifest
from service.jobs.memory.store import MemoryStore
from service.jobs.model import Handling, Job
from service.jobs.states import JobEvent
from service.jobs.store import JobStore
from service.objects.base import Storage
from service.objects.files import FileStorage
from service.outgoing import Outgoing
from service.webhooks import deliveries, delivering
from service.webhooks.delivering import Deliverer
from service.webhooks.signing import secrets_of, shown
from tests.service.webhooks.receiver import Receiver

SECRET = bytes(range(32))
FAST = 0.01  # of the delays: 50 ms, 300 ms, 1.2 s


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> JobStore:
    if request.param == "memory":
        return MemoryStore(lease_s=15, attempts_max=4)
    store: JobStore = request.getfixturevalue("redis_store")
    return store


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivering, "LOOK_S", 0.02)


def deliverer(
    store: JobStore, storage: Storage, *, allowed: str = "127.0.0.0/8", factor: float = FAST
) -> Deliverer:
    return Deliverer(
        store,
        storage,
        Outgoing(allowed),
        secrets=(SECRET,),
        show=lambda job: Viewer("/v1", 3600).show(job).model_dump(mode="json"),
        delay_factor=factor,
    )


@contextmanager
def delivering_by(*each: Deliverer) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in each]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def until(holds: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def accepted(store: JobStore, storage: Storage, url: str | None, **fields: object) -> Job:
    now = store.now()
    job = Job.model_validate(
        {
            "id": new_job_id(),
            "kind": "video",
            "filename": "clip.mp4",
            "size_bytes": 1,
            "sha256": "0" * 64,
            "handling": Handling(webhook=url, metadata={"album": "a"}),
            "created_at": now,
            "updated_at": now,
            **fields,
        }
    )
    manifest.save(storage, Manifest(job=job))
    return store.create(job)


def ended(
    store: JobStore, storage: Storage, url: str | None, event: JobEvent = JobEvent.FAIL, **more: object
) -> Job:
    return end(store, storage, accepted(store, storage, url, **more), event)


def states(storage: Storage, job: Job) -> list[str]:
    return [delivery.state for delivery in deliveries.load(storage, job.id).deliveries]


def is_settled(store: JobStore, *jobs: Job) -> bool:
    return not any(store.has_hook(job.id) for job in jobs)


def test_a_receiver_is_told_of_the_end_by_a_signed_message(
    store: JobStore, storage: FileStorage, receiver: Receiver
) -> None:
    job = ended(store, storage, receiver.url, JobEvent.CANCEL, owner="ann")
    with delivering_by(deliverer(store, storage)):
        until(lambda: is_settled(store, job))
    (message,) = receiver.messages
    (secret,) = secrets_of((SECRET,), "ann")
    content = Webhook(shown(secret)).verify(message.body.decode(), message.headers)
    assert content == message.content
    assert (content["type"], content["data"]["id"], content["data"]["state"]) == (
        "job.cancelled",
        job.id,
        "cancelled",
    )
    assert content["data"]["metadata"] == {"album": "a"}
    assert content["data"]["links"]["self"] == f"/v1/jobs/{job.id}"
    assert (message.path, message.headers["content-type"]) == ("/hook", "application/json")
    assert message.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert states(storage, job) == ["delivered"]


def test_nobody_is_told_of_a_job_that_goes_on_or_asked_for_nothing(
    store: JobStore, storage: FileStorage, receiver: Receiver
) -> None:
    accepted(store, storage, receiver.url)
    ended(store, storage, None)
    last = ended(store, storage, receiver.url)
    with delivering_by(deliverer(store, storage)):
        until(lambda: is_settled(store, last))
    assert [message.content["data"]["id"] for message in receiver.messages] == [last.id]


def test_a_receiver_that_was_away_is_told_everything_once_by_id(
    store: JobStore, storage: FileStorage, receiver: Receiver
) -> None:
    receiver.down()
    jobs = [ended(store, storage, receiver.url) for _ in range(20)]
    both = (deliverer(store, storage), deliverer(store, storage))  # as of two API processes
    with delivering_by(*both):
        until(lambda: all("pending" in states(storage, job) for job in jobs[:3]))
        assert receiver.messages == []
        receiver.up()
        until(lambda: is_settled(store, *jobs))
    assert sorted(message.id for message in receiver.messages) == sorted(
        f"msg_{job.id}_failed" for job in jobs
    )
    for job in jobs:
        (delivery,) = deliveries.load(storage, job.id).deliveries
        assert delivery.state == "delivered"
        assert delivery.attempts[-1].status == 204
    tried = [deliveries.load(storage, job.id).deliveries[0] for job in jobs]
    assert max(delivery.attempt_count for delivery in tried) > 1
    assert any(attempt.error for delivery in tried for attempt in delivery.attempts)


def test_a_receiver_that_answers_with_an_error_is_asked_again_under_the_same_id(
    store: JobStore, storage: FileStorage, receiver: Receiver
) -> None:
    receiver.answer = lambda _message: (500 if not receiver.messages else 200, {})
    job = ended(store, storage, receiver.url)
    with delivering_by(deliverer(store, storage)):
        until(lambda: is_settled(store, job))
    assert [message.id for message in receiver.messages] == [f"msg_{job.id}_failed"] * 2
    (delivery,) = deliveries.load(storage, job.id).deliveries
    assert [attempt.status for attempt in delivery.attempts] == [500, 200]


def test_a_redirect_is_not_followed(store: JobStore, storage: FileStorage, receiver: Receiver) -> None:
    with Receiver() as inside:
        receiver.answer = lambda _message: (
            (307, {"Location": inside.url}) if not receiver.messages else (410, {})
        )
        job = ended(store, storage, receiver.url)
        with delivering_by(deliverer(store, storage)):
            until(lambda: is_settled(store, job))
        assert inside.messages == []
    (delivery,) = deliveries.load(storage, job.id).deliveries
    assert ([attempt.status for attempt in delivery.attempts], delivery.state) == ([307, 410], "given_up")


def test_an_address_that_leads_inside_by_now_is_not_called(
    store: JobStore, storage: FileStorage, receiver: Receiver
) -> None:
    job = ended(store, storage, receiver.url)
    with delivering_by(deliverer(store, storage, allowed="", factor=1)):
        until(lambda: states(storage, job) == ["pending"])
    assert receiver.messages == []
    (delivery,) = deliveries.load(storage, job.id).deliveries
    assert "no public address" in (delivery.attempts[0].error or "")


def test_a_dead_receiver_keeps_no_other_waiting(
    store: JobStore, storage: FileStorage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "ATTEMPT_S_MAX", 0.5)
    monkeypatch.setattr(delivering, "AT_ONCE_MAX", 4)
    released = threading.Event()
    with Receiver() as dead:
        dead.answer = lambda _message: (released.wait(5), (200, {}))[1]
        for _ in range(40):
            ended(store, storage, dead.url)
        quick = ended(store, storage, receiver.url)
        with delivering_by(deliverer(store, storage, factor=1)):
            until(lambda: is_settled(store, quick), 5)
        released.set()
    assert len(receiver.messages) == 1


def test_a_process_that_dies_leaves_its_message_to_another(
    store: JobStore, storage: FileStorage, receiver: Receiver
) -> None:
    job = ended(store, storage, receiver.url)
    (taken,) = store.take_hooks(9, 0.3)
    assert taken.job_id == job.id
    with delivering_by(deliverer(store, storage)):
        until(lambda: is_settled(store, job))
    assert len(receiver.messages) == 1


def test_a_store_that_lost_everything_tells_what_was_not_told_and_nothing_twice(
    storage: FileStorage, receiver: Receiver
) -> None:
    before, after = (MemoryStore(lease_s=15, attempts_max=4) for _ in range(2))
    told = ended(before, storage, receiver.url)
    with delivering_by(deliverer(before, storage)):
        until(lambda: is_settled(before, told))
    untold = ended(before, storage, receiver.url)
    goes_on = accepted(before, storage, receiver.url)

    rebuild(after, storage)
    end(after, storage, after.get(goes_on.id), JobEvent.CANCEL)
    with delivering_by(deliverer(after, storage)):
        until(lambda: is_settled(after, told, untold, goes_on))
    ids = [message.content["data"]["id"] for message in receiver.messages]
    assert sorted(ids) == sorted([told.id, untold.id, goes_on.id])


def test_of_a_job_that_was_deleted_nobody_is_told_and_nothing_is_left(
    store: JobStore, storage: FileStorage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = deliveries.save, []
    monkeypatch.setattr(deliveries, "save", lambda *given: (save(*given), saved.append(given)))
    job = ended(store, storage, receiver.url)

    def delete_meanwhile(_message: object) -> tuple[int, dict[str, str]]:
        erase(store, storage, job)
        return 200, {}

    receiver.answer = delete_meanwhile
    erased = ended(store, storage, receiver.url)
    erase(store, storage, erased)
    with delivering_by(deliverer(store, storage)):
        until(lambda: saved)  # after the job had gone
        until(lambda: not list(storage.list("jobs/")))
    assert [message.content["data"]["id"] for message in receiver.messages] == [job.id]


def test_an_expiry_is_told_after_the_success(
    store: JobStore, storage: FileStorage, receiver: Receiver
) -> None:
    job = accepted(store, storage, receiver.url, state="assembling")
    storage.put(keys.input_key(job.id), b"upload")
    job = end(store, storage, job, JobEvent.SUCCEED, result_key=keys.result_key(job.id, 1, "mp4"))
    with delivering_by(deliverer(store, storage)):
        until(lambda: is_settled(store, job))
        store.transition(job.id, JobEvent.EXPIRE, result_key=None)
        manifest.forget_all_but_webhooks(storage, job.id)
        until(lambda: is_settled(store, job))
    assert [message.content["type"] for message in receiver.messages] == ["job.succeeded", "job.expired"]
    assert states(storage, job) == ["delivered", "delivered"]
    assert list(storage.list("jobs/")) == [keys.webhooks_key(job.id)]


def test_an_event_under_a_lease_is_not_lost(store: JobStore, storage: FileStorage) -> None:
    job = accepted(store, storage, "https://example.com/", state="assembling")
    end(store, storage, job, JobEvent.SUCCEED)
    (taken,) = store.take_hooks(9, 60)
    store.transition(job.id, JobEvent.EXPIRE)
    assert store.settle_hook(taken, None) is False
    assert [hook.job_id for hook in store.take_hooks(9, 60)] == [job.id]


def test_a_slow_receiver_of_headers_is_left_in_time(
    store: JobStore, storage: FileStorage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "ATTEMPT_S_MAX", 0.3)
    receiver.answer = lambda _message: (time.sleep(1), (200, {}))[1]
    job = ended(store, storage, receiver.url)
    with delivering_by(deliverer(store, storage, factor=1)):
        until(lambda: states(storage, job) == ["pending"])
    (delivery,) = deliveries.load(storage, job.id).deliveries
    assert "no answer" in (delivery.attempts[0].error or "")


def test_nothing_goes_wrong_where_nothing_is_due(store: JobStore, storage: FileStorage) -> None:
    assert store.take_hooks(9, 60) == []
    stop = threading.Event()
    stop.set()
    asyncio.run(deliverer(store, storage)._run(stop))
