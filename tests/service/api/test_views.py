"""What is shown of a job beside its state: times, rate, what its sender noted."""

import pytest

from service.api.shown.views import Viewer
from service.jobs.model import Handling, Job
from service.jobs.states import JobState
from tests.service.api.harness import Service
from tests.service.api.samples import CLIP, begin, succeed

START = 1_790_000_000.0
TTL_S = 100.0


def a_job(**fields: object) -> Job:
    given = {
        "id": "a",
        "kind": "video",
        "filename": "clip.mp4",
        "size_bytes": 1,
        "sha256": "0" * 64,
        "created_at": START,
        "updated_at": START,
    }
    return Job.model_validate(given | fields)


def show(**fields: object) -> dict[str, object]:
    shown: dict[str, object] = Viewer("", TTL_S).show(a_job(**fields)).model_dump(mode="json")
    return shown


def test_times_are_shown_in_seconds_and_as_dates() -> None:
    job = show(state="running", started_at=START + 0.5)
    assert (job["started_at"], job["finished_at"], job["expires_at"]) == (START + 0.5, None, None)
    assert job["times"] == {
        "created_at": "2026-09-21T14:13:20Z",
        "updated_at": "2026-09-21T14:13:20Z",
        "started_at": "2026-09-21T14:13:20.500000Z",
        "finished_at": None,
        "expires_at": None,
    }


@pytest.mark.parametrize(("ttl", "kept_s"), [(None, TTL_S), (30.0, 30.0), (TTL_S * 2, TTL_S)])
def test_a_job_that_is_over_tells_when_it_goes(ttl: float | None, kept_s: float) -> None:
    job = show(state="succeeded", finished_at=START + 5, handling=Handling(ttl=ttl))
    assert (job["finished_at"], job["expires_at"]) == (START + 5, START + 5 + kept_s)


def test_a_job_that_a_former_version_ended_was_over_when_it_last_changed() -> None:
    assert show(state="failed", updated_at=START + 9)["finished_at"] == START + 9
    assert show(state="expired", updated_at=START + 9)["finished_at"] is None


def test_only_what_is_over_is_terminal() -> None:
    terminal = [state for state in JobState if show(state=state)["is_terminal"]]
    assert terminal == [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED]


def progress(**fields: object) -> tuple[object, object]:
    shown = show(**fields)["progress"]
    assert isinstance(shown, dict)
    return shown["frames_per_s"], shown["remaining_s"]


def test_a_running_job_tells_its_rate_and_how_long_it_will_take() -> None:
    running = {"state": "running", "planned_at": START, "frames_total": 300}
    assert progress(**running, frames_done=100, updated_at=START + 10) == (10.0, 20.0)
    assert progress(**running, frames_done=0, updated_at=START + 10) == (None, None)
    assert progress(**running, frames_done=5, updated_at=START + 0.5) == (None, None)  # too soon to tell


def test_a_finished_job_tells_its_rate_of_old_and_nothing_to_come() -> None:
    done = {"planned_at": START, "frames_done": 50, "frames_total": 50}
    assert progress(**done, state="assembling", updated_at=START + 5) == (10.0, None)
    assert progress(**done, state="succeeded", updated_at=START + 99, finished_at=START + 0.5) == (
        100.0,
        None,
    )


def test_what_the_sender_noted_comes_back_and_is_in_the_manifest(service: Service) -> None:
    form = {"metadata": '{"album": "Urlaub ☀", "n": "1"}', "ttl": "60.5"}
    answer = service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, data=form)
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["id"]
    assert answer.json()["metadata"] == {"album": "Urlaub ☀", "n": "1"}
    service.store.delete(job_id)  # then it is read from the manifest
    job = service.ask("GET", f"/jobs/{job_id}").json()
    assert (job["metadata"], job["finished_at"]) == ({"album": "Urlaub ☀", "n": "1"}, None)


def test_a_result_is_kept_as_long_as_its_sender_asked(service: Service) -> None:
    answer = service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, data={"ttl": "60"})
    job_id = answer.json()["id"]
    begin(service.store, job_id)
    succeed(service.store, service.storage, job_id, b"large")
    job = service.ask("GET", f"/jobs/{job_id}").json()
    assert job["expires_at"] == job["finished_at"] + 60


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata", "album=holiday"),
        ("metadata", '["album"]'),
        ("metadata", '{"album": 1}'),
        ("metadata", '{"": "x"}'),
        ("metadata", "[" * 10_000),
        ("metadata", '{"a": "' + "x" * 20_000 + '"}'),
        ("ttl", "0"),
        ("ttl", "soon"),
        ("ttl", "nan"),
        ("ttl", "604801"),
    ],
)
def test_what_can_not_be_kept_so_is_refused(service: Service, field: str, value: str) -> None:
    answer = service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, data={field: value})
    problem = answer.json()
    assert (answer.status_code, problem["type"], problem["field"]) == (422, "/problems/invalid_option", field)
    assert service.objects() == []
