"""Celery tasks: the names under which the API's messages reach the steps. Nothing is decided here."""

from celery import Celery

from service.jobs.steps import ASSEMBLE, PLAN, Step, segment_step
from worker.job import runner
from worker.job.context import WorkerContext
from worker.process.health import Health


def register(app: Celery, context: WorkerContext, health: Health) -> None:
    """Give the app the three tasks, each bound to what this process works with."""

    def run(job_id: str, step: Step) -> None:
        with health.working():
            runner.run(context, job_id, step)

    @app.task(name="upscaled.plan")
    def plan(job_id: str) -> None:
        run(job_id, PLAN)

    @app.task(name="upscaled.segment")
    def segment(job_id: str, index: int) -> None:
        run(job_id, segment_step(index))

    @app.task(name="upscaled.assemble")
    def assemble(job_id: str) -> None:
        run(job_id, ASSEMBLE)
