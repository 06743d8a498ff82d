import numpy as np
import pytest
import torch
from torch import nn

from model_core import checkpoint
from model_core.config import ModelConfig
from model_core.known_answer import picture
from model_core.model import Model, build
from model_core.quantised import QuantisedConv, measured_ranges, quantised


def a_conv(inputs: int, outputs: int) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def a_model(**config) -> Model:
    torch.manual_seed(0)
    return build(ModelConfig(generator="frvsr", flow="dis-fast", features=8, blocks=1, **config)).eval()


@torch.inference_mode()
def test_a_quantised_convolution_is_a_sum_of_products_of_bytes():
    """Against whole numbers, which no rounding of ours can spoil."""
    conv = a_conv(4, 6)
    x = torch.rand(1, 4, 9, 7) * 3 - 1
    found = QuantisedConv(conv, [(4, (-1.0, 2.0))])(x)
    scale = 3 / 255
    bytes_in = (x / scale).round().clamp(-85, 170).double()
    kernel_scale = conv.weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    bytes_kernel = (conv.weight / kernel_scale).round().double()
    assert bytes_kernel.abs().max() == 127
    sums = nn.functional.conv2d(bytes_in, bytes_kernel, padding=1)
    expected = sums * scale * kernel_scale.view(1, -1, 1, 1) + conv.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("fine", ["fine_kernel", "fine_input"])
def test_a_second_byte_takes_away_its_part_of_the_error(fine):
    """Of an input that is made of bytes, or a kernel that is, nothing is left."""
    conv, x = a_conv(8, 8), torch.rand(1, 8, 16, 16)
    if fine == "fine_kernel":
        x = (x * 255).round() / 255
    else:
        conv.weight.mul_(100).round_().clamp_(-127, 127)[:, 0, 0, 0] = 127

    def error(**options) -> float:
        return float((QuantisedConv(conv, [(8, (0.0, 1.0))], **options)(x) - conv(x)).abs().mean())

    assert error() > 50 * error(**{fine: True}) > 0


@torch.inference_mode()
def test_pixels_are_bytes_already():
    """The first convolution loses nothing of a frame, only of its kernel, and next to nothing of that."""
    conv, x = a_conv(3, 8), torch.randint(0, 256, (1, 3, 8, 8)) / 255
    found = QuantisedConv(conv, [(3, (0.0, 1.0))], fine_kernel=True)(x)
    torch.testing.assert_close(found, conv(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("config", [{}, {"window": 3, "hidden": 4}, {"head": "transposed"}])
def test_a_quantised_model_makes_nearly_the_same_picture(config):
    model = a_model(**config)
    made = quantised(model, measured_ranges(model, picture))
    apart = np.abs(picture(made).astype(int) - picture(model))
    assert 0 < apart.mean() < 1


def test_ranges_are_what_the_inputs_of_each_convolution_spanned():
    model = a_model()
    seen = []
    model.generator.blocks[0].conv2.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    ranges = measured_ranges(model, picture)
    assert list(ranges) == ["conv_in", "blocks.0.conv1", "blocks.0.conv2", "head.0"]
    assert ranges["blocks.0.conv2"] == (0.0, max(float(x.max()) for x in seen))
    assert not model.generator.blocks[0].conv1._forward_pre_hooks  # none of ours stays


def test_a_convolution_that_repeats_the_border_stays_in_float():
    model = build(ModelConfig(generator="srcnn", flow="none", features=8)).eval()
    assert measured_ranges(model, picture) == {}


def test_ranges_are_part_of_the_version_and_come_back_with_it(tmp_path):
    model = a_model()
    ranges = measured_ranges(model, picture)
    plain = checkpoint.save(tmp_path / "plain", model, {})
    version = checkpoint.save(tmp_path / "int8", model, {}, ranges=ranges)
    assert version != plain
    found = checkpoint.load(tmp_path / "int8", version=version)
    assert {name: pytest.approx(span) for name, span in ranges.items()} == found.ranges
    assert checkpoint.load(tmp_path / "plain").ranges == {}
    assert np.array_equal(picture(found.model), picture(model))
