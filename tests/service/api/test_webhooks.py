"""webhook= of an upload, and GET /jobs/{id}/webhooks."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from service.jobs.states import JobEvent
from service.webhooks import deliveries
from service.webhooks.deliveries import Attempt, Log, expected
from service.webhooks.signing import shown
from tests.service.api.harness import Service
from tests.service.api.samples import CLIP, begin, succeed
from tests.service.webhooks.receiver import Receiver

SECRET = shown(bytes(range(32)))


@pytest.fixture
def hooked(service: Service) -> Service:
    secrets = SecretStr(f"{SECRET},{shown(bytes(32))}")
    service.settings = service.settings.model_copy(
        update={"webhook_secrets": secrets, "outgoing_allowed": "127.0.0.0/8"}
    )
    return service


def post(service: Service, webhook: str, **more: str) -> httpx.Response:
    return service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, data={"webhook": webhook, **more})


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://10.0.0.1/", "address_refused"),
        ("https://169.254.169.254/latest", "address_refused"),
        ("https://[::1]/", "address_refused"),
        ("https://user:secret@127.0.0.1/", "address_refused"),
        ("ftp://127.0.0.1/", "invalid_option"),
        ("https://127.0.0.1/" + "x" * 2000, "invalid_option"),
        ("", "invalid_option"),
    ],
)
def test_an_address_that_the_service_does_not_call_is_refused(hooked: Service, url: str, code: str) -> None:
    answer = post(hooked, url)
    problem = answer.json()
    assert (answer.status_code, problem["type"], problem["field"]) == (422, f"/problems/{code}", "webhook")
    assert "secret" not in answer.text
    assert hooked.objects() == []


def test_where_there_are_no_secrets_there_are_no_webhooks(service: Service) -> None:
    answer = post(service, "http://127.0.0.1/")
    assert (answer.status_code, answer.json()["field"]) == (422, "webhook")
    assert "UPSCALED_WEBHOOK_SECRETS" in answer.json()["detail"]


def test_a_job_shows_its_webhook_and_what_that_was_told(hooked: Service) -> None:
    job = post(hooked, "http://127.0.0.1:9/x").json()
    path = f"/jobs/{job['id']}/webhooks"
    assert (job["webhook"], job["links"]["webhooks"]) == ("http://127.0.0.1:9/x", path)
    assert hooked.ask("GET", path).json() == {"deliveries": []}

    ended = hooked.store.transition(job["id"], JobEvent.CANCEL)
    (delivery,) = hooked.ask("GET", path).json()["deliveries"]
    assert (delivery["event"], delivery["state"], delivery["attempt_count"]) == (
        "job.cancelled",
        "pending",
        0,
    )

    (known,) = expected(ended, Log())
    known = known.after(Attempt(at=ended.updated_at + 1, error="nobody there"), delay_s=5)
    known = known.after(Attempt(at=ended.updated_at + 6, status=204), delay_s=5)
    deliveries.save(hooked.storage, ended.id, Log(deliveries=(known,)))
    (delivery,) = hooked.ask("GET", path).json()["deliveries"]
    assert (delivery["id"], delivery["state"], delivery["next_at"]) == (
        f"msg_{ended.id}_cancelled",
        "delivered",
        None,
    )
    answers = [(attempt["status"], attempt["error"]) for attempt in delivery["attempts"]]
    assert answers == [(None, "nobody there"), (204, None)]


def test_a_job_without_a_webhook_told_nobody(service: Service) -> None:
    job = service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}).json()
    service.store.transition(job["id"], JobEvent.CANCEL)
    assert (job["webhook"], job["links"]["webhooks"]) == (None, None)
    assert service.ask("GET", f"/jobs/{job['id']}/webhooks").json() == {"deliveries": []}


@pytest.fixture
def address(hooked: Service) -> Iterator[str]:
    """A real server with its lifespan, whose threads deliver."""
    server = uvicorn.Server(uvicorn.Config(hooked.app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_a_server_tells_the_receiver_of_a_jobs_end(hooked: Service, address: str) -> None:
    with Receiver() as receiver:
        answer = httpx.post(
            f"{address}/v1/upscale",
            files={"file": ("a.mp4", CLIP)},
            data={"webhook": receiver.url, "metadata": '{"album": "a"}'},
        )
        job_id = answer.json()["id"]
        begin(hooked.store, job_id)
        succeed(hooked.store, hooked.storage, job_id, b"large")
        until = time.monotonic() + 10
        while hooked.store.has_hook(job_id):
            assert time.monotonic() < until
            time.sleep(0.05)
        (message,) = receiver.messages
    told = Webhook(SECRET).verify(message.body.decode(), message.headers)
    assert told["type"] == "job.succeeded"
    assert told["data"] == httpx.get(f"{address}/v1/jobs/{job_id}").json()
    assert httpx.get(f"{address}{told['data']['links']['result']}").content == b"large"
