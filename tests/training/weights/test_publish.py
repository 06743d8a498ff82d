"""The gate: what moves `latest`, and what does not."""

import json
from pathlib import Path

import pytest
import torch

from model_core import checkpoint
from model_core.config import ModelConfig
from model_core.known_answer import CARD_KEY
from model_core.model import build
from service.objects import published
from service.objects.files import FileStorage
from tests.training.made import panning
from training.data.sequences import make_sequence
from training.weights.publish import Facts, GateClosedError, publish, write_checkpoint


def make(folder: Path, psnr_db: float | None, seed: int = 0) -> Path:
    """A checkpoint that went through `write_checkpoint`, with that score."""
    torch.manual_seed(seed)
    model = build(ModelConfig(generator="frvsr", flow="dis", features=4, blocks=1)).eval()
    checkpoint.save(folder / "plain", model, {"steps": 3})
    scores = () if psnr_db is None else [{"protocol": "bd", "mean": {"psnr": psnr_db}, "clips": {}}]
    write_checkpoint(
        folder / "plain", folder / "made", Facts(name="tiny", licence="research only", scores=scores)
    )
    return folder / "made"


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "objects")


def test_first_version_is_published_with_its_card(storage: FileStorage, tmp_path: Path) -> None:
    version = publish(storage, "tiny", make(tmp_path, 26.0))
    assert published.read_latest(storage, "tiny").version == version
    card = json.loads(storage.get(published.file_key("tiny", version, "card.json")))
    assert card["scores"]["vid4_bd"]["psnr"] == 26.0
    assert card["licence"] == "research only"
    assert card["steps"] == 3
    assert card[CARD_KEY]


def test_narrower_formats_are_measured_for_the_card_and_int8_is_made_possible(tmp_path: Path) -> None:
    sequence = make_sequence("clip", panning(4, 64, 64, 0), "bd")
    write_checkpoint(make(tmp_path, 26.0), tmp_path / "again", Facts(name="tiny", sequences=[sequence]))
    found = checkpoint.load(tmp_path / "again")
    losses = found.card["precision_loss_db"]
    assert losses.keys() == {"bfloat16", "int8"}
    assert all(0 < abs(loss) < 0.5 for loss in losses.values())
    assert found.ranges["conv_in"][1] == pytest.approx(1, abs=0.2)  # frames and outputs are pixels
    assert all(low <= 0 < high for low, high in found.ranges.values())


def test_worse_version_does_not_move_latest(storage: FileStorage, tmp_path: Path) -> None:
    first = publish(storage, "tiny", make(tmp_path / "a", 26.0, seed=0))
    with pytest.raises(GateClosedError, match=r"25\.90 dB"):
        publish(storage, "tiny", make(tmp_path / "b", 25.9, seed=1))
    assert published.read_latest(storage, "tiny").version == first


def test_better_version_replaces_and_remembers_what_it_replaced(storage: FileStorage, tmp_path: Path) -> None:
    first = publish(storage, "tiny", make(tmp_path / "a", 26.0, seed=0))
    second = publish(storage, "tiny", make(tmp_path / "b", 26.1, seed=1))
    assert published.read_latest(storage, "tiny") == published.Latest(second, first)


def test_perceptual_model_is_judged_by_lpips(storage: FileStorage, tmp_path: Path) -> None:
    def scored(folder: Path, psnr: float, lpips: float, seed: int) -> Path:
        folder = make(folder, psnr, seed=seed)
        card = json.loads((folder / "card.json").read_text())
        card["training"] = {"vgg_weight": 0.3}
        card["scores"]["vid4_bd"]["lpips"] = lpips
        (folder / "card.json").write_text(json.dumps(card))
        return folder

    publish(storage, "tiny", scored(tmp_path / "a", 26.0, 0.20, seed=0))
    better = publish(storage, "tiny", scored(tmp_path / "b", 25.0, 0.18, seed=1))
    with pytest.raises(GateClosedError, match=r"LPIPS 0\.190 on vid4_bd; what it replaces has LPIPS 0\.180"):
        publish(storage, "tiny", scored(tmp_path / "c", 27.0, 0.19, seed=2))
    assert published.read_latest(storage, "tiny").version == better


def test_force_publishes_a_worse_version_and_keeps_the_reason(storage: FileStorage, tmp_path: Path) -> None:
    publish(storage, "tiny", make(tmp_path / "a", 26.0, seed=0))
    second = publish(storage, "tiny", make(tmp_path / "b", 25.0, seed=1), force="sharper, by eye")
    assert published.read_latest(storage, "tiny").version == second
    card = json.loads(storage.get(published.file_key("tiny", second, "card.json")))
    assert card["forced"] == "sharper, by eye"


def test_version_without_scores_is_refused(storage: FileStorage, tmp_path: Path) -> None:
    with pytest.raises(GateClosedError, match="no scores"):
        publish(storage, "tiny", make(tmp_path, None))
    assert list(published.names(storage)) == []


def test_wrong_answer_closes_the_gate_even_by_force(storage: FileStorage, tmp_path: Path) -> None:
    folder = make(tmp_path, 26.0)
    card = json.loads((folder / "card.json").read_text())
    card[CARD_KEY] = [(level + 9) % 256 for level in card[CARD_KEY]]
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(GateClosedError, match="levels from"):
        publish(storage, "tiny", folder, force="no reason is good enough")
    assert list(published.names(storage)) == []
