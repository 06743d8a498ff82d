"""A thread that becomes free tells Celery's consumer."""

import threading
from collections.abc import Callable

from celery.concurrency import get_implementation

from worker.process import pool


class Hub:
    """Only what the pool asks of kombu's."""

    def __init__(self) -> None:
        self.woken = threading.Event()

    def call_soon(self, callback: Callable[[], object]) -> None:
        callback()
        self.woken.set()


def test_the_consumer_is_woken_when_a_thread_is_free_again() -> None:
    hub, begun, may_end = Hub(), threading.Event(), threading.Event()
    order: list[str] = []

    def task() -> None:
        begun.set()
        may_end.wait(20)

    made = get_implementation(pool.NAME)(1)
    made.start()
    try:
        made.register_with_event_loop(hub)
        made.apply_async(task, callback=lambda _: order.append(f"over, woken: {hub.woken.is_set()}"))
        assert begun.wait(20)
        assert not hub.woken.is_set()
        may_end.set()
        assert hub.woken.wait(20)
    finally:
        made.stop()
    assert order == ["over, woken: False"]  # woken earlier, Celery would still count the thread as busy
