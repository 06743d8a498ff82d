"""GET /jobs/{id}/webhooks: what the receiver of a job was told, and what it answered."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from service.api.callers import Caller, UsedCaller
from service.api.dependencies import Services, UsedServices, in_thread
from service.api.problems.answering import problem_responses
from service.api.routes.jobs import find
from service.api.shown.views import date_of
from service.webhooks import deliveries
from service.webhooks.deliveries import Delivery, Event

router = APIRouter(tags=["jobs"])


class AttemptView(BaseModel):
    at: datetime
    status: int | None = Field(default=None, description="Of the answer; null where none came.")
    error: str | None = Field(default=None, description="Why there was no answer.")


class DeliveryView(BaseModel):
    """One message, which is sent until it is answered by 2xx, for a day."""

    id: str = Field(description="`webhook-id` of all its attempts.")
    event: Event
    happened_at: datetime
    state: Literal["pending", "delivered", "given_up"]
    next_at: datetime | None = Field(default=None, description="When it is sent next.")
    attempt_count: int
    attempts: list[AttemptView] = Field(description="The last ones.")


class DeliveryList(BaseModel):
    deliveries: list[DeliveryView]


@router.get(
    "/jobs/{job_id}/webhooks",
    summary="List what the job's webhook was told",
    responses=problem_responses(404, 503),
)
async def list_deliveries(job_id: str, services: UsedServices, caller: UsedCaller) -> DeliveryList:
    """Empty before the job has ended, and for one without a webhook."""
    return DeliveryList(deliveries=await in_thread(_deliveries, services, caller, job_id))


def _deliveries(services: Services, caller: Caller, job_id: str) -> list[DeliveryView]:
    job = find(services, caller, job_id)
    found = deliveries.expected(job, deliveries.load(services.storage, job.id))
    return [_view(delivery) for delivery in found]


def _view(delivery: Delivery) -> DeliveryView:
    return DeliveryView(
        id=delivery.id,
        event=delivery.event,
        happened_at=date_of(delivery.since),
        state=delivery.state,
        next_at=None if delivery.next_at is None else date_of(delivery.next_at),
        attempt_count=delivery.attempt_count,
        attempts=[
            AttemptView(at=date_of(attempt.at), status=attempt.status, error=attempt.error)
            for attempt in delivery.attempts
        ],
    )
