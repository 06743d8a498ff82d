import pytest
import torch

from model_core import known_answer
from model_core.checkpoint import CheckpointError
from model_core.config import ModelConfig
from model_core.model import Model, build


def make_model(flow: str = "dis") -> Model:
    torch.manual_seed(0)
    return build(ModelConfig(generator="frvsr", flow=flow, features=4, blocks=1)).eval()


@pytest.mark.parametrize("flow", ["dis", "fnet", "pyramid"])
def test_a_model_gives_its_own_answer(flow):
    model = make_model(flow)
    known_answer.check(model, {known_answer.CARD_KEY: known_answer.answer(model)})


def test_one_level_of_difference_is_allowed_and_two_are_not():
    model = make_model()
    answer = known_answer.answer(model)
    known_answer.check(model, {known_answer.CARD_KEY: [level + 1 for level in answer]})
    with pytest.raises(CheckpointError, match="2 levels"):
        known_answer.check(model, {known_answer.CARD_KEY: [level + 2 for level in answer]})


@pytest.mark.parametrize("layer", ["conv_in", "head"])
def test_channels_read_in_another_order_show(layer):
    """What a digest can't see: the same weights under another meaning."""
    model = make_model()
    answer = known_answer.answer(model)
    if layer == "conv_in":
        weight = model.generator.conv_in.weight
        weight.data[:, 3:] = weight.data[:, 3:].view(-1, 3, 16, 3, 3).transpose(1, 2).flatten(1, 2).clone()
    else:
        weight = model.generator.head[0].weight
        weight.data = weight.data.view(3, 16, -1, 3, 3).transpose(0, 1).flatten(0, 1).contiguous()
    with pytest.raises(CheckpointError):
        known_answer.check(model, {known_answer.CARD_KEY: answer})


@pytest.mark.parametrize("answer", ["7", [1, 2], {}])
def test_an_answer_of_another_form_is_refused(answer):
    with pytest.raises(CheckpointError, match="is not a list"):
        known_answer.check(make_model(), {known_answer.CARD_KEY: answer})


def test_a_card_without_an_answer_still_asks_for_finite_numbers():
    model = make_model()
    known_answer.check(model, {})
    model.generator.head[0].bias.data.fill_(float("inf"))
    with pytest.raises(CheckpointError, match="not finite"):
        known_answer.check(model, {})
