"""POST /jobs/{id}/rerun: another job from the same upload."""

import pytest

from service.access.keys import create
from service.jobs import keys, manifest
from service.jobs.states import JobState
from tests.service.api.harness import Service
from tests.service.api.samples import CLIP, png


def post(service: Service, data: bytes = CLIP, **fields: str) -> str:
    name = "clip.mp4" if data is CLIP else "picture.png"
    answer = service.ask("POST", "/upscale", files={"file": (name, data)}, data=fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_a_job_is_made_again_with_other_options_from_the_same_upload(service: Service) -> None:
    first = post(service, codec="hevc", quality="80", metadata='{"album": "a"}')
    answer = service.ask("POST", f"/jobs/{first}/rerun", json={"codec": "ffv1", "quality": None})
    job = answer.json()
    assert (answer.status_code, job["state"]) == (202, "queued")
    assert answer.headers["location"] == f"/jobs/{job['id']}" != f"/jobs/{first}"
    assert float(answer.headers["retry-after"]) > 0
    assert (job["options"]["codec"], job["options"]["quality"], job["metadata"]) == (
        "ffv1",
        None,
        {"album": "a"},
    )
    before = service.ask("GET", f"/jobs/{first}").json()
    for name in ("filename", "sha256", "size_bytes", "kind"):
        assert job[name] == before[name]
    assert service.queue.sent == [(first, "plan"), (job["id"], "plan")]
    assert manifest.load(service.storage, job["id"]).job.id == job["id"]


def test_without_a_body_it_is_the_same_again(service: Service) -> None:
    first = post(service, codec="hevc")
    job = service.ask("POST", f"/jobs/{first}/rerun").json()
    assert job["options"]["codec"] == "hevc"
    assert job["id"] != first


@pytest.mark.parametrize(
    ("before", "changes", "expected"),
    [
        ({"scale": "2"}, {"size": "4k"}, (4, "4k", None)),
        ({"size": "4k"}, {"scale": 3}, (3, None, None)),
        ({"size": "4k"}, {"width": 640}, (4, None, 640)),
        ({"width": "640"}, {"codec": "hevc"}, (4, None, 640)),
    ],
)
def test_a_size_of_one_kind_drops_that_of_another(
    service: Service, before: dict[str, str], changes: dict[str, object], expected: tuple[object, ...]
) -> None:
    options = service.ask("POST", f"/jobs/{post(service, **before)}/rerun", json=changes).json()["options"]
    assert (options["scale"], options["size"], options["width"]) == expected


@pytest.mark.parametrize("deleted", ["first", "second"])
def test_either_can_be_deleted_without_the_other(service: Service, deleted: str) -> None:
    first = post(service)
    second = str(service.ask("POST", f"/jobs/{first}/rerun").json()["id"])
    goes, stays = (first, second) if deleted == "first" else (second, first)
    assert service.ask("DELETE", f"/jobs/{goes}").status_code == 204
    assert service.ask("GET", f"/jobs/{stays}/input").content == CLIP
    assert service.objects() == [keys.input_key(stays), keys.manifest_key(stays)]


def test_what_has_no_upload_any_more_can_not_be_made_again(service: Service) -> None:
    first = post(service)
    service.ask("POST", f"/jobs/{first}/cancel")
    answer = service.ask("POST", f"/jobs/{first}/rerun")
    assert (answer.status_code, answer.json()["type"]) == (410, "/problems/result_expired")
    assert len(service.store.list(9)[0]) == 1


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"scale": 5}, "invalid_option", "scale"),
        ({"speed": 1}, "invalid_option", "speed"),
        ({"codec": "hevc"}, "invalid_option", "codec"),
        ({"format": "mkv"}, "invalid_option", "format"),
        ({"model": "nobody"}, "unknown_model", "model"),
        ({"ttl": 1e9}, "invalid_option", "ttl"),
        ({"metadata": {"a": 1}}, "invalid_option", "metadata.a"),
        ([], "invalid_option", "body"),
    ],
)
def test_options_that_can_not_be_are_refused(
    service: Service, changes: object, code: str, field: str
) -> None:
    first = post(service, png())
    answer = service.ask("POST", f"/jobs/{first}/rerun", json=changes)
    problem = answer.json()
    assert (answer.status_code, problem["type"], problem["field"]) == (422, f"/problems/{code}", field)
    assert {name.split("/")[1] for name in service.objects()} == {first}


@pytest.mark.parametrize("body", [b"scale=2", b"{", b'{"scale": 2, "scale"', b" " * 70_000])
def test_a_body_that_is_no_short_json_is_refused(service: Service, body: bytes) -> None:
    answer = service.ask("POST", f"/jobs/{post(service)}/rerun", content=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid_option")


def test_a_rerun_can_be_asked_for_twice_by_one_key(service: Service) -> None:
    first = post(service)
    headers = {"Idempotency-Key": "again"}
    jobs = [
        service.ask("POST", f"/jobs/{first}/rerun", json={"scale": 2}, headers=headers).json()["id"]
        for _ in range(2)
    ]
    assert jobs[0] == jobs[1]
    clash = service.ask("POST", f"/jobs/{first}/rerun", json={"scale": 3}, headers=headers)
    assert (clash.status_code, clash.json()["value"]) == (409, "again")
    assert {name.split("/")[1] for name in service.objects()} == {first, jobs[0]}


def test_a_full_queue_takes_no_rerun(service: Service) -> None:
    first = post(service)
    service.settings = service.settings.model_copy(update={"queue_max": 1})
    answer = service.ask("POST", f"/jobs/{first}/rerun")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/queue_full")
    assert {name.split("/")[1] for name in service.objects()} == {first}


def test_a_rerun_belongs_to_who_asked_for_it(service: Service) -> None:
    service.settings = service.settings.model_copy(update={"auth": "keys"})
    ann, root = create(service.storage, "ann"), create(service.storage, "root", "admin")
    answer = service.ask(
        "POST", "/upscale", files={"file": ("a.mp4", CLIP)}, headers={"Authorization": f"Bearer {ann}"}
    )
    path = f"/jobs/{answer.json()['id']}/rerun"
    again = service.ask("POST", path, headers={"Authorization": f"Bearer {root}"}).json()["id"]
    assert service.store.get(again).owner == root.split("_")[1]
    assert service.store.get(again).state is JobState.QUEUED
