"""The task queue on a real Valkey, with a real Celery consumer."""

import threading
import time

import pytest
from celery.contrib.testing.worker import start_worker

from service.errors import StoreUnavailable
from service.queue import CeleryQueue, celery_app, open_queue
from service.settings import Settings


@pytest.fixture
def settings(valkey, valkey_url):
    return Settings(redis_url=valkey_url, queue="queue-test", worker_streams=2)


@pytest.fixture
def app(settings):
    app = celery_app(settings)
    yield app
    app.close()


def test_each_step_reaches_its_task_with_its_arguments(app):
    received, complete = [], threading.Event()

    def note(*values):
        received.append(values)
        if len(received) == 3:
            complete.set()

    @app.task(name="upscaled.plan")
    def plan(job_id):
        note("plan", job_id)

    @app.task(name="upscaled.segment")
    def segment(job_id, index):
        note("segment", job_id, index)

    @app.task(name="upscaled.assemble")
    def assemble(job_id):
        note("assemble", job_id)

    queue = CeleryQueue(app)
    queue.enqueue("job", "plan")
    queue.enqueue("job", "segment/12")
    queue.enqueue("job", "assemble")
    assert queue.depth() == 3

    # `solo` here, because a pool of threads outlives the test; the tests of the worker run the real one.
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        assert complete.wait(20)
    assert sorted(received) == [("assemble", "job"), ("plan", "job"), ("segment", "job", 12)]
    assert queue.depth() == 0


def test_messages_survive_that_valkey_forgot_its_bindings(app, valkey):
    """Guards against an exchange whose bindings are gone, which drops messages in silence."""
    queue = CeleryQueue(app)
    queue.enqueue("job", "plan")
    valkey.flushall()
    assert queue.depth() == 0
    queue.enqueue("job", "plan")
    assert queue.depth() == 1


def test_an_empty_queue_has_no_depth(app):
    assert CeleryQueue(app).depth() == 0


def test_messages_hold_json_only(app, valkey, settings):
    CeleryQueue(app).enqueue("job", "segment/3")
    [message] = valkey.lrange(settings.queue, 0, -1)
    assert '"content-type": "application/json"' in message
    assert app.conf.accept_content == ["json"]


def test_an_absent_broker_is_told_within_seconds():
    queue = open_queue(Settings(redis_url="redis://127.0.0.1:9/0"))
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        queue.enqueue("job", "plan")
    with pytest.raises(StoreUnavailable):
        queue.depth()
    assert time.monotonic() - started < 10


def test_work_is_acknowledged_on_receipt_and_none_is_hoarded(app):
    assert app.conf.task_acks_late is False
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.worker_disable_prefetch is True
    assert app.conf.result_backend is None
