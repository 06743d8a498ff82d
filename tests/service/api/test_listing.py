"""GET /jobs: which jobs a page has, by state, kind, time, metadata and owner."""

from datetime import UTC, datetime

import pytest

from service.access import keys
from service.api.shown import listing
from service.jobs.ids import new_job_id
from service.jobs.model import Handling, Job
from service.jobs.states import JobEvent
from tests.service.api.harness import Service

START = 1_790_000_000.0


def made(service: Service, at_s: float, **fields: object) -> Job:
    job = Job.model_validate(
        {
            "id": new_job_id(lambda: START + at_s),
            "kind": "video",
            "filename": "clip.mp4",
            "size_bytes": 1,
            "sha256": "0" * 64,
            "created_at": START + at_s + 1,  # the upload took a second
            "updated_at": START + at_s + 1,
            **fields,
        }
    )
    return service.store.create(job)


def listed(service: Service, headers: dict[str, str] | None = None, **query: object) -> list[str]:
    """Ids of all pages, each asked for by the cursor of the one before."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = service.ask("GET", "/jobs", params={"limit": 2, **query, **cursor}, headers=headers or {})
        assert answer.status_code == 200, answer.text
        found += [job["id"] for job in answer.json()["jobs"]]
        if answer.json()["next"] is None:
            return found
        cursor = {"cursor": answer.json()["next"]}


def date(at_s: float) -> str:
    return datetime.fromtimestamp(START + at_s, UTC).isoformat()


def test_jobs_are_found_by_their_state_and_kind(service: Service) -> None:
    video, picture, over = (
        made(service, at, kind=kind) for at, kind in enumerate(("video", "image", "video"))
    )
    service.store.transition(over.id, JobEvent.CANCEL)
    assert listed(service, state="queued") == [picture.id, video.id]
    assert listed(service, state=["cancelled", "failed"]) == [over.id]
    assert listed(service, state="queued", kind="image") == [picture.id]
    assert listed(service, kind=["image", "video"]) == [over.id, picture.id, video.id]


def test_jobs_are_found_by_the_time_they_were_made(service: Service) -> None:
    jobs = [made(service, at).id for at in range(0, 50, 10)]
    assert listed(service, created_after=date(11)) == jobs[:0:-1]
    assert listed(service, created_before=date(31)) == jobs[2::-1]
    assert listed(service, created_after=date(11), created_before=date(31)) == [jobs[2], jobs[1]]
    assert listed(service, created_before="1066-10-14T09:00:00Z") == []


def test_a_slow_upload_is_found_by_when_it_was_accepted_not_begun(service: Service) -> None:
    slow = made(service, 0, created_at=START + 7200).id
    assert listed(service, created_after=date(7000)) == [slow]
    assert listed(service, created_before=date(7000)) == []


def test_jobs_are_found_by_what_their_sender_noted(service: Service) -> None:
    notes = [{"album": "a"}, {"album": "a", "by": "x:y z"}, {"album": "aa"}, {}]
    jobs = [made(service, at, handling=Handling(metadata=note)).id for at, note in enumerate(notes)]
    assert listed(service, metadata="album:a") == [jobs[1], jobs[0]]
    assert listed(service, metadata=["album:a", "by:x:y z"]) == [jobs[1]]
    assert listed(service, metadata="album:") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "done"),
        ("kind", "song"),
        ("created_after", "yesterday"),
        ("created_before", "0.5"),
        ("created_before", "2026-09-21T14:00:00"),
        ("metadata", "album"),
        ("limit", "0"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(service: Service, name: str, value: str) -> None:
    answer = service.ask("GET", "/jobs", params={name: value})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid_option")
    assert answer.json()["field"].startswith(name)


def test_one_rare_job_among_many_is_found_over_several_pages(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOKS_MAX", 1)
    monkeypatch.setattr(listing, "PAGE_JOBS_MAX", 3)
    rare = made(service, 0, kind="image").id
    for at in range(1, 11):
        made(service, at)
    assert listed(service, kind="image") == [rare]


def test_an_owner_pages_through_no_jobs_but_those_of_its_own(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.settings = service.settings.model_copy(update={"auth": "keys"})
    shown = keys.create(service.storage, "ann")
    ann = shown.split("_")[1]
    mine = [made(service, at, owner=ann).id for at in (0, 20, 40)]
    for at in range(50):
        made(service, at, owner="another")
    asked = []
    found = service.store.list
    monkeypatch.setattr(service.store, "list", lambda *a, **more: (asked.append(a), found(*a, **more))[1])
    headers = {"Authorization": f"Bearer {shown}"}
    assert listed(service, headers) == mine[::-1]
    assert len(asked) == 2
    assert listed(service, headers, owner=ann) == mine[::-1]
    assert listed(service, headers, owner="another") == []


def test_an_admin_asks_for_the_jobs_of_one_owner(service: Service) -> None:
    service.settings = service.settings.model_copy(update={"auth": "keys"})
    headers = {"Authorization": f"Bearer {keys.create(service.storage, 'root', 'admin')}"}
    jobs = [made(service, at, owner=owner).id for at, owner in enumerate(("ann", "bob", "ann"))]
    assert listed(service, headers) == jobs[::-1]
    assert listed(service, headers, owner="ann") == [jobs[2], jobs[0]]
