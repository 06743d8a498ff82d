"""The task queue: messages that wake workers. Celery carries them and is trusted with nothing else.

A message names a step that can run, but whoever gets it takes the step whose turn it is (jobs/turns.py). So
losing, repeating or reordering messages is harmless, a few wake as many workers as there are, and the sweeper
sends one where work waits and no message does. Not here: what the tasks do (worker/process/tasks.py).
"""

from typing import Protocol

import redis
from celery import Celery
from kombu import Exchange
from kombu import Queue as MessageQueue
from kombu.exceptions import OperationalError

from service.errors import StoreUnavailable
from service.jobs.redis.client import CONNECT_TIMEOUT_S
from service.jobs.steps import Step, kind_of, segment_index
from service.settings import Settings

ANSWER_TIMEOUT_S = 10.0  # longer than the second for which a worker's read of the queue blocks
_CONNECTION_ERRORS = (redis.ConnectionError, redis.TimeoutError)  # what kombu lets through unchanged


class Queue(Protocol):
    def enqueue(self, job_id: str, step: Step) -> None:
        """Send the message; raises StoreUnavailable when the broker does not take it."""

    def depth(self) -> int:
        """How many messages wait for a worker."""


def celery_app(settings: Settings) -> Celery:
    """The app of producers and workers alike; worker/process/tasks.py registers the tasks on it."""
    app = Celery("upscaled", broker=settings.redis_url)
    app.conf.update(
        # What is on the wire. No result backend: the truth about a job is in storage and in the store.
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_default_queue=settings.queue,
        task_queues=[MessageQueue(settings.queue, Exchange(settings.queue), settings.queue, no_ack=True)],
        task_create_missing_queues=False,
        # No acknowledgement (`no_ack`): a late one redelivers work that still runs (visibility timeout) and
        # holds back work of a dead worker just as long; one on receipt costs more than all else that Celery
        # does for a message. Leases and the sweeper do both right, within seconds.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # One process holds one device and many streams.
        worker_pool="threads",
        worker_concurrency=settings.worker_streams,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,  # nobody gives them orders, so nobody needs to be allowed to
        # A worker waits for its broker for ever; a producer gives up while its caller still listens.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=CONNECT_TIMEOUT_S,
        broker_transport_options={
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_timeout": ANSWER_TIMEOUT_S,
            "socket_keepalive": True,
        },
        task_publish_retry_policy={
            "max_retries": 2,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
    )
    return app


class CeleryQueue:
    """Queue over Celery and Redis. Threads may share it."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._name = app.conf.task_default_queue

    def enqueue(self, job_id: str, step: Step) -> None:
        index = segment_index(step)
        arguments = (job_id,) if index is None else (job_id, index)
        try:
            self._app.send_task(f"upscaled.{kind_of(step)}", args=arguments)
        except OperationalError as error:
            raise StoreUnavailable("The task queue does not answer.") from error

    def depth(self) -> int:
        try:
            with self._app.connection_or_acquire() as connection:
                # Declaring a queue that exists changes nothing and tells its length.
                return int(connection.default_channel.queue_declare(queue=self._name).message_count)
        except (OperationalError, *_CONNECTION_ERRORS) as error:
            raise StoreUnavailable("The task queue does not answer.") from error


def open_queue(settings: Settings) -> CeleryQueue:
    """The queue that the settings name. No connection is made before the first call."""
    return CeleryQueue(celery_app(settings))
