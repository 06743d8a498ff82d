"""Celery's pool of threads, but a thread that becomes free tells the consumer.

While every thread is busy Celery reads no messages, and that one is free again it notices only when it wakes
up by itself, once a second: a worker of eight threads did eight jobs a second, however short they were.
"""

from typing import Any, Final

from celery.concurrency.thread import TaskPool
from kombu.asynchronous.hub import Hub

NAME: Final = f"{__name__}:Pool"  # as Celery's `worker_pool` wants it


class Pool(TaskPool):
    _hub: Hub | None = None

    def register_with_event_loop(self, hub: Hub) -> None:
        self._hub = hub
        super().register_with_event_loop(hub)

    def on_apply(self, *args: Any, **kwargs: Any) -> Any:
        result = super().on_apply(*args, **kwargs)
        result.f.add_done_callback(self._wake)
        return result

    def _wake(self, _done: object) -> None:
        if self._hub is not None:
            self._hub.call_soon(_look_again)


def _look_again() -> None:
    """Whatever the loop is woken for, it reads messages again if it may."""
