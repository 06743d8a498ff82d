"""POST /estimate and samples, as a caller meets them. What a worker makes of them: tests/worker/job."""

import threading

from service.access import keys
from service.jobs.quotas import Quota
from tests.service.api.harness import Service
from tests.service.api.samples import CLIP, ESTIMATE, look_into_next
from tests.service.api.test_callers import Owner, closed

__all__ = ["closed"]


def test_an_estimate_is_waited_for_and_its_upload_becomes_a_job(service: Service) -> None:
    thread = threading.Thread(target=look_into_next, args=(service,))
    thread.start()
    answer = service.ask("POST", "/estimate", files={"file": ("a.mp4", CLIP)})
    thread.join()
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert (job["purpose"], job["state"], job["report"]["estimate"]) == ("estimate", "succeeded", ESTIMATE)
    assert job["links"]["result"] is None
    assert service.ask("GET", f"/jobs/{job['id']}/result").status_code == 409
    assert job["expires_at"] - job["finished_at"] == 3600
    listed = [each["id"] for each in service.ask("GET", "/jobs").json()["jobs"]]
    named = [each["id"] for each in service.ask("GET", "/jobs?purpose=estimate").json()["jobs"]]
    assert (listed, named) == ([], [job["id"]])
    made = service.ask("POST", f"/jobs/{job['id']}/rerun").json()
    assert (made["purpose"], made["sha256"]) == ("upscale", job["sha256"])
    assert service.store.get(made["id"]).handling.ttl is None


def test_who_does_not_want_to_wait_gets_the_address(service: Service) -> None:
    files = {"file": ("a.mp4", CLIP)}
    answer = service.ask("POST", "/estimate", files=files, headers={"Prefer": "wait=0"})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert answer.headers["location"] == answer.json()["links"]["self"]


def test_the_same_key_does_not_make_an_estimate_into_a_job(service: Service) -> None:
    headers = {"Idempotency-Key": "k", "Prefer": "wait=0"}
    first = service.ask("POST", "/estimate", files={"file": ("a.mp4", CLIP)}, headers=headers)
    again = service.ask("POST", "/estimate", files={"file": ("a.mp4", CLIP)}, headers=headers)
    assert again.json()["id"] == first.json()["id"]
    clash = service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, headers=headers)
    assert clash.status_code == 409


def test_a_sample_is_for_videos_and_says_itself_where(service: Service) -> None:
    wrong = {"sample": "true", "start": "1"}
    refused = service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, data=wrong)
    assert (refused.status_code, refused.json()["field"]) == (422, "sample")
    made = service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, data={"sample": "true"})
    assert (made.status_code, made.json()["purpose"]) == (202, "sample")


def test_samples_are_counted_apart(closed: Service) -> None:
    quota = Quota(open_jobs=1, samples_per_day=2)
    ann = Owner(closed, keys.create(closed.storage, "ann", "user", quota))
    ann.post()
    sample = {"files": {"file": ("a.mp4", CLIP)}, "data": {"sample": "true"}, "headers": ann.headers}
    assert [closed.ask("POST", "/upscale", **sample).status_code for _ in range(3)] == [202, 202, 429]
    assert closed.ask("POST", "/upscale", **sample).json()["field"] == "samples_per_day"
