"""`python -m training publish`: from averaged weights to a version that new jobs get, by way of the gate.

A training's folder or a checkpoint's becomes a checkpoint with a card (what it was trained on, by which code,
how long, on what, its scores and known answer). The gate reads it back and lets it through, or says why not.
Not here: where versions lie in storage (service/objects/published.py), scores (evaluate.py).
"""

import json
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model_core import checkpoint, known_answer
from model_core.checkpoint import CheckpointError
from model_core.model import Model, build
from model_core.quantised import Ranges
from service.objects import published
from service.objects.base import NotFound, Storage
from training.data.sequences import Sequence as Clip
from training.run.validate import precision_losses
from training.weights.card import aim_of
from training.weights.reading import read_weights


class GateClosedError(Exception):
    """The checkpoint may not replace what is there; the message says which check failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What only the one who publishes knows, for the card."""

    name: str
    summary: str = ""
    data: str = ""
    licence: str = ""
    device: str = ""
    scores: Sequence[Mapping[str, Any]] = ()  # evaluate's JSONs, one a protocol
    sequences: Sequence[Clip] = ()  # held out; on these narrower formats are measured, and made for int8


def write_checkpoint(source: Path, folder: Path, facts: Facts) -> str:
    """A checkpoint with its card, of a training's averaged weights or of another checkpoint; -> version."""
    model, card = read_weights(source)
    given = {"name": facts.name, "summary": facts.summary, "data": facts.data, "licence": facts.licence}
    card |= {key: value for key, value in given.items() if value}
    card |= {"device": facts.device or card.get("device") or f"{platform.machine()} processor"}
    if facts.scores:
        card["scores"] = {f"vid4_{each['protocol']}": each["mean"] for each in facts.scores}
        card["clips"] = {each["protocol"]: each["clips"] for each in facts.scores}
    shipped = _halved(model)
    ranges: Ranges = {}
    if facts.sequences:
        card["precision_loss_db"], ranges = precision_losses(shipped, list(facts.sequences))
    card[known_answer.CARD_KEY] = known_answer.answer(shipped)
    return checkpoint.save(folder, model, card, ranges=ranges, dtype=torch.float16)


def publish(storage: Storage, name: str, folder: Path, *, force: str | None = None) -> str:
    """Put a checkpoint into storage and give it to new jobs, if the gate lets it through; -> its version.

    force   publishes although the scores are worse or absent; the reason is kept in the card
    Raises  GateClosedError, CheckpointError; then `latest` has not moved
    """
    found = checkpoint.load(folder)
    check_sound(folder, found.version)
    try:
        version = published.read_latest(storage, name).version
        replaced = json.loads(storage.get(published.file_key(name, version, "card.json")))
    except NotFound:
        replaced = {}
    if force is None:
        check_scores(found.card, replaced)
    with tempfile.TemporaryDirectory() as stage:
        copy = Path(stage)
        for file in checkpoint.FILES:
            (copy / file).write_bytes((folder / file).read_bytes())
        if force is not None:
            card = json.dumps({**found.card, "forced": force}, indent=1, ensure_ascii=False)
            (copy / "card.json").write_text(card, encoding="utf-8")
        published.publish(storage, name, found.version, copy)
    return found.version


def check_sound(folder: Path, version: str) -> None:
    """Read it back as a worker will: digest, finite weights and output, known answer."""
    again = checkpoint.load(folder, version=version)
    if known_answer.CARD_KEY not in again.card:
        raise GateClosedError(f"{folder}: the card holds no known answer")
    try:
        known_answer.check(again.model, again.card)
    except CheckpointError as error:
        raise GateClosedError(f"{folder}: {error}") from error


def check_scores(card: Mapping[str, Any], replaced: Mapping[str, Any]) -> None:
    """What it was trained for must not be worse than on the card it replaces, protocol by protocol."""
    aim = aim_of(card)
    before, found = (_by_protocol(each, aim.metric) for each in (replaced, card))
    if not found:
        raise GateClosedError("the card holds no scores; evaluate it first, or --force with a reason")
    for protocol, value in before.items():
        if protocol not in found:
            raise GateClosedError(
                f"no score on {protocol}, where what it replaces has {aim.form.format(value)}"
            )
        if aim.sign * (found[protocol] - value) < -aim.slack:
            raise GateClosedError(
                f"{aim.form.format(found[protocol])} on {protocol}; "
                f"what it replaces has {aim.form.format(value)}"
            )


def _by_protocol(card: Mapping[str, Any], metric: str) -> dict[str, float]:
    scores = card.get("scores", {})
    return {key: float(value[metric]) for key, value in scores.items() if value.get(metric) is not None}


def _halved(model: Model) -> Model:
    """The model as it will be read back: its weights rounded to float16."""
    copy = build(model.config).eval()
    copy.load_state_dict({name: value.half().float() for name, value in model.state_dict().items()})
    return copy
