"""What is to be told of a job, and when it is tried again."""

from itertools import pairwise

import pytest

from service.jobs.model import Handling, Job
from service.jobs.states import JobState
from service.objects.files import FileStorage
from service.webhooks import deliveries
from service.webhooks.deliveries import ATTEMPTS_KEPT, LIFE_S, Attempt, Delivery, Log, delay_s, expected

START = 1_790_000_000.0


def a_job(state: JobState, *, webhook: str | None = "https://example.com/") -> Job:
    return Job(
        id="a",
        state=state,
        kind="video",
        filename="clip.mp4",
        size_bytes=1,
        sha256="0" * 64,
        handling=Handling(webhook=webhook),
        created_at=START,
        updated_at=START + 9,
        finished_at=START + 5 if state.is_terminal else None,
    )


@pytest.mark.parametrize(
    ("state", "events"),
    [
        (JobState.RUNNING, []),
        (JobState.SUCCEEDED, ["job.succeeded"]),
        (JobState.FAILED, ["job.failed"]),
        (JobState.CANCELLED, ["job.cancelled"]),
        (JobState.EXPIRED, ["job.succeeded", "job.expired"]),
    ],
)
def test_what_is_told_follows_from_how_the_job_stands(state: JobState, events: list[str]) -> None:
    told = expected(a_job(state), Log())
    assert [delivery.event for delivery in told] == events
    assert all(delivery.state == "pending" for delivery in told)
    assert expected(a_job(state, webhook=None), Log()) == []


def test_each_event_has_one_id_and_the_time_it_happened() -> None:
    told = expected(a_job(JobState.EXPIRED), Log())
    assert [(delivery.id, delivery.since) for delivery in told] == [
        ("msg_a_succeeded", START + 5),
        ("msg_a_expired", START + 9),
    ]
    again = expected(a_job(JobState.EXPIRED), Log(deliveries=tuple(told)))
    assert again == told


def test_what_was_told_is_not_told_again(tmp_path) -> None:  # type: ignore[no-untyped-def]
    storage = FileStorage(tmp_path)
    (first,) = expected(a_job(JobState.SUCCEEDED), deliveries.load(storage, "a"))
    arrived = first.after(Attempt(at=START + 6, status=200), delay_s=5)
    assert (arrived.state, arrived.next_at, arrived.attempt_count) == ("delivered", None, 1)
    deliveries.save(storage, "a", Log(deliveries=(arrived,)))
    (succeeded, expired) = expected(a_job(JobState.EXPIRED), deliveries.load(storage, "a"))
    assert (succeeded, expired.state) == (arrived, "pending")


def lead(delivery: Delivery, attempt: Attempt) -> Delivery:
    """One failing attempt after the other, each as soon as it is due."""
    while delivery.state == "pending":
        assert delivery.next_at is not None
        delivery = delivery.after(
            attempt.model_copy(update={"at": delivery.next_at}), delay_s=delay_s(delivery)
        )
    return delivery


@pytest.mark.parametrize(
    "attempt", [Attempt(at=0, status=500), Attempt(at=0, status=302), Attempt(at=0, error="no")]
)
def test_a_receiver_is_tried_with_growing_delays_for_a_day(attempt: Attempt) -> None:
    (first,) = expected(a_job(JobState.SUCCEEDED), Log())
    last = lead(first, attempt)
    assert last.state == "given_up"
    times = [each.at for each in last.attempts]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[0] == 5
    assert 10 < last.attempt_count <= ATTEMPTS_KEPT
    assert START + 5 + LIFE_S - 7200 < times[-1] <= START + 5 + LIFE_S


def test_a_receiver_that_wants_no_more_is_asked_no_more() -> None:
    (first,) = expected(a_job(JobState.SUCCEEDED), Log())
    assert first.after(Attempt(at=START, status=410, is_final=True), delay_s=5).state == "given_up"
