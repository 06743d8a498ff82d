"""Keys at the door: every route of the OpenAPI document without one, and with one that the job is not of."""

from dataclasses import dataclass

import pytest

from service.access import keys
from service.jobs import manifest
from service.jobs.keys import preview_key
from service.jobs.states import JobState
from tests.service.api.harness import Service
from tests.service.api.samples import CLIP, begin, succeed

OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/problems/{code}"),
}


@dataclass
class Owner:
    """Someone with a key."""

    service: Service
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def post(self, *, idempotency_key: str = "k") -> str:
        headers = self.headers | {"Idempotency-Key": idempotency_key}
        answer = self.service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, headers=headers)
        assert answer.status_code == 202
        return str(answer.json()["id"])

    def listed(self) -> list[str]:
        page = self.service.ask("GET", "/jobs", headers=self.headers).json()
        return [job["id"] for job in page["jobs"]]


@pytest.fixture
def closed(service: Service) -> Service:
    service.settings = service.settings.model_copy(update={"auth": "keys"})
    return service


@pytest.fixture
def ann(closed: Service) -> Owner:
    return Owner(closed, keys.create(closed.storage, "ann"))


@pytest.fixture
def bob(closed: Service) -> Owner:
    return Owner(closed, keys.create(closed.storage, "bob"))


def routes(service: Service) -> list[tuple[str, str]]:
    paths = service.app.openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def finished_job(owner: Owner) -> str:
    store, storage = owner.service.store, owner.service.storage
    job_id = owner.post()
    begin(store, job_id)
    storage.put(preview_key(job_id), b"a frame")
    succeed(store, storage, job_id, b"a film")
    return job_id


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_without_a_key_nothing_is_reached_but_what_tells_of_the_service(ann: Owner, prefix: str) -> None:
    job_id = finished_job(ann)
    wrong = [
        {},
        {"Authorization": "Bearer upk_x"},
        {"Authorization": f"Basic {ann.key}"},
        {"Cookie": ann.key},
        {"Cookie": f"upscaled_key={ann.key[:-2]}AA"},
    ]
    walked = set()
    for method, path in routes(ann.service):
        address = prefix + path.format(job_id=job_id, code="no_key", upload_id="0" * 36)
        for headers in wrong:
            answer = ann.service.ask(method, address, headers=headers)
            if (method, path) in OPEN:
                assert answer.status_code == 200, (method, path)
                assert job_id not in answer.text
                continue
            assert answer.status_code == 401, (method, path)
            assert method == "HEAD" or answer.json()["type"] == "/problems/no_key"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert ann.key not in answer.text
        walked.add((method, path))
    assert walked > OPEN
    for path in (f"/jobs/{job_id}/result", f"/jobs/{job_id}/preview"):
        assert ann.service.ask("HEAD", prefix + path).status_code == 401
    assert ann.service.ask("GET", f"/jobs/{job_id}/result", headers=ann.headers).content == b"a film"


def test_with_another_key_nothing_of_the_first_is_reached(ann: Owner, bob: Owner) -> None:
    job_id = finished_job(ann)
    own = [route for route in routes(ann.service) if "{job_id}" in route[1]]
    of_jobs = {path.partition("{job_id}")[2] for _, path in own}
    assert of_jobs == {"", "/cancel", "/events", "/input", "/preview", "/rerun", "/result", "/webhooks"}
    others = {route for route in routes(ann.service) if "{" not in route[1]} - OPEN
    assert others == {
        ("POST", "/upscale"),
        ("POST", "/estimate"),
        ("GET", "/jobs"),
        ("GET", "/models"),
        ("OPTIONS", "/uploads"),
        ("POST", "/uploads"),
    }, "a new route: does it show what is another's?"
    heads = [("HEAD", f"/jobs/{{job_id}}/{of}") for of in ("result", "preview")]
    for method, path in own + heads:
        answer = ann.service.ask(method, path.format(job_id=job_id), headers=bob.headers)
        assert answer.status_code == 404, (method, path)
        if method != "HEAD":  # the very words of a job that never was
            never = ann.service.ask(method, path.format(job_id="0" * 36), headers=bob.headers)
            assert answer.text.replace(job_id, "") == never.text.replace("0" * 36, "")
    assert bob.listed() == []
    assert ann.service.ask("GET", f"/jobs/{job_id}/result", headers=ann.headers).content == b"a film"
    assert ann.listed() == [job_id]


def test_nothing_of_the_first_is_reached_by_what_it_uploaded_in_pieces(ann: Owner, bob: Owner) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    begun = ann.service.ask("POST", "/uploads", headers=ann.headers | tus | {"Upload-Length": f"{len(CLIP)}"})
    address = begun.headers["location"]
    piece = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    routes_of = [method for method, path in routes(ann.service) if "{upload_id}" in path]
    assert sorted(routes_of) == ["DELETE", "HEAD", "PATCH"]
    for method in routes_of:
        headers = bob.headers | tus | piece
        assert ann.service.ask(method, address, content=CLIP, headers=headers).status_code == 404, method
    sent = ann.service.ask("PATCH", address, content=CLIP, headers=ann.headers | tus | piece)
    assert sent.status_code == 204
    form = {"files": {"upload": (None, address)}}
    assert ann.service.ask("POST", "/upscale", headers=bob.headers, **form).status_code == 404
    assert ann.service.ask("POST", "/upscale", headers=ann.headers, **form).status_code == 202


def test_the_cookie_of_the_page_lets_read_and_do_nothing_else(ann: Owner) -> None:
    job_id = finished_job(ann)
    cookie = {"Cookie": f"upscaled_key={ann.key}"}
    for method, path in routes(ann.service):
        address = path.format(job_id=job_id, code="no_key", upload_id="0" * 36)
        if (method, path) in OPEN:
            continue
        status = ann.service.ask(method, address, headers=cookie).status_code
        assert (status != 401) == (method in {"GET", "HEAD"}), (method, path)
    for path in ("events", "result", "input", "preview"):
        assert ann.service.ask("GET", f"/jobs/{job_id}/{path}", headers=cookie).status_code == 200, path


def test_a_job_that_the_store_forgot_is_still_its_owners_alone(ann: Owner, bob: Owner) -> None:
    job_id = ann.post()
    ann.service.store.delete(job_id)
    assert ann.service.ask("GET", f"/jobs/{job_id}", headers=bob.headers).status_code == 404
    assert ann.service.ask("GET", f"/jobs/{job_id}", headers=ann.headers).status_code == 200


def test_idempotency_keys_are_each_owners_own(ann: Owner, bob: Owner) -> None:
    first = ann.post(idempotency_key="same")
    assert bob.post(idempotency_key="same") != first
    assert ann.post(idempotency_key="same") == first
    headers = ann.headers | {"Idempotency-Key": "same"}
    clash = ann.service.ask("POST", "/upscale", files={"file": ("b.mp4", CLIP + b"more")}, headers=headers)
    assert (clash.status_code, clash.json()["value"]) == (409, "same")


def test_a_list_has_every_job_of_its_owner_once_among_those_of_others(ann: Owner, bob: Owner) -> None:
    ann.service.settings = ann.service.settings.model_copy(update={"queue_max": 100})
    mine = []
    for number in range(6):
        mine.append(ann.post(idempotency_key=f"{number}"))
        bob.post(idempotency_key=f"{number}")
    seen, cursor = [], None
    for _ in range(20):
        parameters = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = ann.service.ask("GET", "/jobs", params=parameters, headers=ann.headers).json()
        seen += [job["id"] for job in page["jobs"]]
        if (cursor := page["next"]) is None:
            break
    assert seen == mine[::-1]


def test_an_admin_reaches_the_jobs_of_all(ann: Owner, closed: Service) -> None:
    root = Owner(closed, keys.create(closed.storage, "root", "admin"))
    job_id = ann.post()
    assert root.listed() == [job_id]
    assert closed.ask("POST", f"/jobs/{job_id}/cancel", headers=root.headers).json()["state"] == "cancelled"


def test_whose_a_job_is_stands_in_its_manifest_and_not_in_its_answers(ann: Owner) -> None:
    job_id = ann.post()
    job = manifest.load(ann.service.storage, job_id).job
    assert (job.state, job.owner) == (JobState.QUEUED, ann.key.split("_")[1])
    assert "owner" not in ann.service.ask("GET", f"/jobs/{job_id}", headers=ann.headers).json()


def test_without_keys_the_document_names_none(service: Service) -> None:
    document = service.app.openapi()
    assert "securitySchemes" not in document["components"]
    assert "401" not in document["paths"]["/jobs"]["get"]["responses"]
