"""GET /models: what `model` may be, and what is taken when nobody says."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from service.api.catalogue import Entry
from service.api.dependencies import UsedServices, in_thread
from service.api.problems.answering import problem_responses
from service.formats import MediaKind
from service.settings import Settings

KNOWN_ANSWER = "known_answer"  # in a card, but of use to the workers' gate alone

router = APIRouter(tags=["models"])


class ModelView(BaseModel):
    name: str = Field(examples=["bicubic"])
    version: str | None = Field(
        description="That new jobs get; null for what the workers carry themselves, and for auto."
    )
    summary: str | None = Field(description="One line from the card.")
    default_for: list[MediaKind] = Field(description="Kinds of upload that take it by default.")
    card: dict[str, Any] = Field(description="What it was trained on and how it measured.")


class ModelList(BaseModel):
    models: list[ModelView]


@router.get("/models", summary="List the models", responses=problem_responses(503))
async def list_models(services: UsedServices) -> ModelList:
    entries = await in_thread(services.catalogue.entries)
    return ModelList(models=[_view(entry, services.settings) for entry in entries.values()])


def _view(entry: Entry, settings: Settings) -> ModelView:
    default_for: list[MediaKind] = []
    if entry.name == settings.default_video_model:
        default_for += ["video", "animation"]
    if entry.name == settings.default_image_model:
        default_for.append("image")
    summary = entry.card.get("summary")
    return ModelView(
        name=entry.name,
        version=entry.version,
        summary=None if summary is None else str(summary),
        default_for=default_for,
        card={name: value for name, value in entry.card.items() if name != KNOWN_ANSWER},
    )
