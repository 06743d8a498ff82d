"""Each import against a plain forward, written here from the published definition under the published names.

No published file is at hand, so weights are random, in the published names and shapes, at a scale that keeps
every layer's share visible.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from model_core.config import ModelConfig
from model_core.foreign import Foreign, ForeignError, read
from model_core.recurrence import State, estimate_flow, step, unroll

Weights = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


@pytest.fixture(autouse=True, scope="module")
def one_torch_thread() -> None:
    torch.set_num_threads(1)


def random_weights(shapes: Shapes, seed: int = 0) -> Weights:
    """Of a size that keeps a signal's size from layer to layer; biases small but not zero."""
    random = torch.Generator().manual_seed(seed)

    def one(shape: tuple[int, ...]) -> Tensor:
        fan_in = math.prod(shape[1:]) if len(shape) > 1 else 100
        return torch.randn(shape, generator=random) / math.sqrt(fan_in)

    return {name: one(shape) for name, shape in shapes.items()}


def conv_shapes(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, 3, 3), f"{name}.bias": (outputs,)}


def conv(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)


def saved(folder: Path, content: object, name: str = "weights.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


# TecoGAN-PyTorch


def frnet_shapes(features: int, blocks: int) -> Shapes:
    shapes: Shapes = {}
    widths = {
        "encoder1": (6, 32), "encoder2": (32, 64), "encoder3": (64, 128),
        "decoder1": (128, 256), "decoder2": (256, 128), "decoder3": (128, 64),
    }  # fmt: skip
    for stage, (inputs, outputs) in widths.items():
        shapes |= conv_shapes(f"fnet.{stage}.0", inputs, outputs)
        shapes |= conv_shapes(f"fnet.{stage}.2", outputs, outputs)
    shapes |= conv_shapes("fnet.flow.0", 64, 32) | conv_shapes("fnet.flow.2", 32, 2)
    shapes |= conv_shapes("srnet.conv_in.0", 51, features)
    for block in range(blocks):
        for layer in (0, 2):
            shapes |= conv_shapes(f"srnet.resblocks.{block}.conv.{layer}", features, features)
    for layer in (0, 2):
        shapes |= conv_shapes(f"srnet.conv_up.{layer}", features, features)
    return shapes | conv_shapes("srnet.conv_out", features, 3)


def cubic_kernels() -> Tensor:
    """(4, 4): the weights of pixels -1, 0, 1 and 2 at each quarter of a pixel; a = -0.75."""

    def weight(x: float) -> float:
        a, x = -0.75, abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a

    return torch.tensor([[weight(pixel - quarter / 4) for pixel in (-1, 0, 1, 2)] for quarter in range(4)])


def frnet_weights(degradation: str, features: int = 6, blocks: int = 2) -> Weights:
    weights = random_weights(frnet_shapes(features, blocks))
    # Flows of a few pixels, and pictures between 0 and 1: our state is clamped there, FRNet's is not.
    weights["fnet.flow.2.weight"] *= 2
    weights["srnet.conv_out.weight"] *= 0.1
    if degradation == "BD":
        weights |= dict.fromkeys(("upsample_func.kernels", "srnet.upsample_func.kernels"), cubic_kernels())
    return weights


def upsample_bd(x: Tensor) -> Tensor:
    """Output 4i + k is at i + k/4; pixels outside repeat the border."""
    for dim in (2, 3):
        size, rows = x.shape[dim], []
        for i in range(4 * size):
            taps = torch.tensor([i // 4 + tap for tap in (-1, 0, 1, 2)]).clamp(0, size - 1)
            kernel = cubic_kernels()[i % 4].view([4 if axis == dim else 1 for axis in range(4)])
            rows.append((x.index_select(dim, taps) * kernel).sum(dim, keepdim=True))
        x = torch.cat(rows, dim)
    return x


def upsample_bi(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)


def fnet(weights: Weights, current: Tensor, previous: Tensor) -> Tensor:
    """Heights and widths are multiples of eight."""
    x = torch.cat((current, previous), dim=1)
    for stage in ("encoder1", "encoder2", "encoder3", "decoder1", "decoder2", "decoder3"):
        for layer in (0, 2):
            x = F.leaky_relu(conv(weights, f"fnet.{stage}.{layer}", x), 0.2)
        if stage.startswith("encoder"):
            x = F.max_pool2d(x, 2, 2)
        else:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    x = conv(weights, "fnet.flow.2", F.leaky_relu(conv(weights, "fnet.flow.0", x), 0.2))
    return torch.tanh(x) * 24


def backward_warp(x: Tensor, flow: Tensor) -> Tensor:
    height, width = x.shape[2:]
    columns = torch.linspace(-1, 1, width).view(1, 1, width) + flow[:, 0] / ((width - 1) / 2)
    rows = torch.linspace(-1, 1, height).view(1, height, 1) + flow[:, 1] / ((height - 1) / 2)
    grid = torch.stack((columns, rows), dim=-1)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)


def fold(x: Tensor) -> Tensor:
    """TensorFlow's space_to_depth: channels in the order row, column, colour."""
    return torch.cat([x[:, :, row::4, column::4] for row in range(4) for column in range(4)], dim=1)


def srnet(weights: Weights, low: Tensor, folded: Tensor, upsample: Callable[[Tensor], Tensor]) -> Tensor:
    x = F.relu(conv(weights, "srnet.conv_in.0", torch.cat((low, folded), dim=1)))
    block = 0
    while f"srnet.resblocks.{block}.conv.0.weight" in weights:
        name = f"srnet.resblocks.{block}.conv"
        x = x + conv(weights, f"{name}.2", F.relu(conv(weights, f"{name}.0", x)))
        block += 1
    for layer in (0, 2):
        weight, bias = weights[f"srnet.conv_up.{layer}.weight"], weights[f"srnet.conv_up.{layer}.bias"]
        x = F.relu(F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1))
    return conv(weights, "srnet.conv_out", x) + upsample(low)


def frnet(weights: Weights, frames: Tensor, upsample: Callable[[Tensor], Tensor]) -> Tensor:
    """(N, T, 3, h, w) -> (N, T, 3, 4h, 4w), as FRNet infers: from a black frame before the first."""
    previous, high = torch.zeros_like(frames[:, 0]), torch.zeros_like(upsample(frames[:, 0]))
    highs = []
    for t in range(frames.shape[1]):
        current = frames[:, t]
        flow = 4 * upsample(fnet(weights, current, previous))
        high = srnet(weights, current, fold(backward_warp(high, flow)), upsample)
        previous = current
        highs.append(high)
    return torch.stack(highs, dim=1)


@pytest.mark.parametrize(("degradation", "upsample"), [("BD", upsample_bd), ("BI", upsample_bi)])
def test_frnet_gives_what_its_definition_gives(
    tmp_path: Path, degradation: str, upsample: Callable[[Tensor], Tensor]
) -> None:
    weights = frnet_weights(degradation)
    model = read(saved(tmp_path, weights)).model
    frames = 0.3 + 0.4 * torch.rand(2, 4, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    expected = frnet(weights, frames, upsample)
    assert 0 < expected.min() < expected.max() < 1  # or the clamp of our state would decide
    torch.testing.assert_close(unroll(model, frames), expected, atol=1e-5, rtol=0)
    # What could go wrong unseen: no motion to speak of, or an output that doesn't matter to the next.
    flow = estimate_flow(model, frames[:, 0], frames[:, 1])
    exact = {name: each.double() for name, each in weights.items()}  # two roundings would be too far apart
    moved = fnet(exact, frames[:, 1].double(), frames[:, 0].double()).float()
    torch.testing.assert_close(flow, moved, atol=1e-5, rtol=0)
    assert flow.abs().mean() > 0.5
    _, alone = step(model, State.clean(model.config, frames[:, 3]), frames[:, 3], flow)
    assert (alone - expected[:, 3]).abs().mean() > 1e-3


def test_frnet_of_the_published_size_is_read(tmp_path: Path) -> None:
    found = read(saved(tmp_path, frnet_weights("BD", features=64, blocks=10)))
    assert found.family == "FRNet"
    assert found.model.config == ModelConfig(
        generator="frvsr", flow="fnet", features=64, blocks=10, head="transposed", upsampling="corner"
    )


def test_frnet_with_another_kind_of_bicubic_is_refused(tmp_path: Path) -> None:
    weights = frnet_weights("BD")
    weights["upsample_func.kernels"] = weights["upsample_func.kernels"].flip(0)
    with pytest.raises(ForeignError, match="upsample_func"):
        read(saved(tmp_path, weights))


# BasicSR and Real-ESRGAN


def rrdb_shapes(features: int, growth: int, blocks: int) -> Shapes:
    shapes = conv_shapes("conv_first", 3, features)
    for block in range(blocks):
        for dense in (1, 2, 3):
            name = f"body.{block}.rdb{dense}.conv"
            for layer in (1, 2, 3, 4):
                shapes |= conv_shapes(f"{name}{layer}", features + (layer - 1) * growth, growth)
            shapes |= conv_shapes(f"{name}5", features + 4 * growth, features)
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        shapes |= conv_shapes(name, features, features)
    return shapes | conv_shapes("conv_last", features, 3)


def rrdbnet(weights: Weights, low: Tensor) -> Tensor:
    def dense_block(name: str, x: Tensor) -> Tensor:
        x1 = F.leaky_relu(conv(weights, f"{name}.conv1", x), 0.2)
        x2 = F.leaky_relu(conv(weights, f"{name}.conv2", torch.cat((x, x1), 1)), 0.2)
        x3 = F.leaky_relu(conv(weights, f"{name}.conv3", torch.cat((x, x1, x2), 1)), 0.2)
        x4 = F.leaky_relu(conv(weights, f"{name}.conv4", torch.cat((x, x1, x2, x3), 1)), 0.2)
        return conv(weights, f"{name}.conv5", torch.cat((x, x1, x2, x3, x4), 1)) * 0.2 + x

    first = x = conv(weights, "conv_first", low)
    block = 0
    while f"body.{block}.rdb1.conv1.weight" in weights:
        before = x
        for dense in (1, 2, 3):
            x = dense_block(f"body.{block}.rdb{dense}", x)
        x = x * 0.2 + before
        block += 1
    x = first + conv(weights, "conv_body", x)
    for name in ("conv_up1", "conv_up2"):
        x = F.leaky_relu(conv(weights, name, F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
    return conv(weights, "conv_last", F.leaky_relu(conv(weights, "conv_hr", x), 0.2))


def srresnet_shapes(features: int, blocks: int) -> Shapes:
    shapes = conv_shapes("conv_first", 3, features)
    for block in range(blocks):
        for layer in (1, 2):
            shapes |= conv_shapes(f"body.{block}.conv{layer}", features, features)
    for name in ("upconv1", "upconv2"):
        shapes |= conv_shapes(name, features, 4 * features)
    return shapes | conv_shapes("conv_hr", features, features) | conv_shapes("conv_last", features, 3)


def msrresnet(weights: Weights, low: Tensor) -> Tensor:
    x = F.leaky_relu(conv(weights, "conv_first", low), 0.1)
    block = 0
    while f"body.{block}.conv1.weight" in weights:
        name = f"body.{block}.conv"
        x = x + conv(weights, f"{name}2", F.relu(conv(weights, f"{name}1", x)))
        block += 1
    for name in ("upconv1", "upconv2"):
        x = F.leaky_relu(F.pixel_shuffle(conv(weights, name, x), 2), 0.1)
    base = F.interpolate(low, scale_factor=4, mode="bilinear", align_corners=False)
    return conv(weights, "conv_last", F.leaky_relu(conv(weights, "conv_hr", x), 0.1)) + base


def compact_shapes(features: int, blocks: int, *, scale: int = 4) -> Shapes:
    shapes: Shapes = {}
    for index in range(blocks + 1):
        shapes |= conv_shapes(f"body.{2 * index}", features if index else 3, features)
        shapes |= {f"body.{2 * index + 1}.weight": (features,)}
    return shapes | conv_shapes(f"body.{2 * blocks + 2}", features, 3 * scale**2)


def srvgg(weights: Weights, low: Tensor) -> Tensor:
    x, index = low, 0
    while f"body.{index + 1}.weight" in weights:
        x = F.prelu(conv(weights, f"body.{index}", x), weights[f"body.{index + 1}.weight"])
        index += 2
    base = F.interpolate(low, scale_factor=4, mode="nearest")
    return F.pixel_shuffle(conv(weights, f"body.{index}", x), 4) + base


PICTURE_NETWORKS = {
    "RRDBNet": (rrdb_shapes(6, 3, 2), rrdbnet),
    "SRResNet": (srresnet_shapes(6, 3), msrresnet),
    "SRVGGNetCompact": (compact_shapes(6, 3), srvgg),
}


@pytest.mark.parametrize("wrapping", [None, "params", "params_ema"])
@pytest.mark.parametrize("family", PICTURE_NETWORKS)
def test_networks_for_pictures_give_what_their_definition_gives(
    tmp_path: Path, family: str, wrapping: str | None
) -> None:
    shapes, forward = PICTURE_NETWORKS[family]
    weights = random_weights(shapes)
    found = read(saved(tmp_path, weights if wrapping is None else {wrapping: weights}))
    assert found.family == family
    assert_equals(found, lambda low: forward(weights, low))


def assert_equals(found: Foreign, forward: Callable[[Tensor], Tensor]) -> None:
    low = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        high = unroll(found.model, low[:, None])[:, 0]
        torch.testing.assert_close(high, forward(low), atol=1e-5, rtol=0)
    assert high.std() > 0.1


PUBLISHED_SIZES = {
    "RealESRGAN_x4plus_anime_6B": (rrdb_shapes(64, 32, 6), ("rrdb", 64, 6)),
    "realesr-general-x4v3": (compact_shapes(64, 32), ("compact", 64, 32)),
    "realesr-animevideov3": (compact_shapes(64, 16), ("compact", 64, 16)),
    "MSRResNet_x4_f64b16": (srresnet_shapes(64, 16), ("srresnet", 64, 16)),
}


@pytest.mark.parametrize(("shapes", "expected"), PUBLISHED_SIZES.values(), ids=PUBLISHED_SIZES.keys())
def test_published_sizes_are_recognised(
    tmp_path: Path, shapes: Shapes, expected: tuple[str, int, int]
) -> None:
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    config = read(saved(tmp_path, {"params_ema": weights})).model.config
    assert (config.generator, config.features, config.blocks) == expected
    assert config.growth == 32


def in_names_of_2019(name: str) -> str:
    for ours, theirs in (
        ("body", "RRDB_trunk"),
        ("rdb", "RDB"),
        ("conv_hr", "HRconv"),
        ("conv_up", "upconv"),
    ):
        name = "trunk_conv" + name[9:] if name.startswith("conv_body") else name.replace(ours, theirs)
    return name


def in_names_of_2018(name: str) -> str:
    layer, _, kind = name.rpartition(".")
    plain = {"conv_first": 0, "conv_up1": 3, "conv_up2": 6, "conv_hr": 8, "conv_last": 10}
    if layer in plain:
        return f"model.{plain[layer]}.{kind}"
    if layer == "conv_body":
        return f"model.1.sub.2.{kind}"  # after blocks 0 and 1
    return f"{layer.replace('body', 'model.1.sub').replace('rdb', 'RDB')}.0.{kind}"


@pytest.mark.parametrize("renamed", [in_names_of_2018, in_names_of_2019])
def test_the_older_names_of_esrgan_mean_the_same(tmp_path: Path, renamed: Callable[[str], str]) -> None:
    weights = random_weights(rrdb_shapes(6, 3, 2))
    found = read(saved(tmp_path, {renamed(name): value for name, value in weights.items()}))
    assert_equals(found, lambda low: rrdbnet(weights, low))


def test_the_older_names_of_srresnet_mean_the_same(tmp_path: Path) -> None:
    weights = random_weights(srresnet_shapes(6, 2))
    older = {n.replace("body", "recon_trunk").replace("conv_hr", "HRconv"): v for n, v in weights.items()}
    assert_equals(read(saved(tmp_path, older)), lambda low: msrresnet(weights, low))


def test_the_average_is_taken_where_a_file_has_both(tmp_path: Path) -> None:
    average, last = (random_weights(compact_shapes(6, 3), seed) for seed in (1, 2))
    found = read(saved(tmp_path, {"params": last, "params_ema": average}))
    assert_equals(found, lambda low: srvgg(average, low))


def test_safetensors_and_halved_weights_are_read(tmp_path: Path) -> None:
    halved = {name: value.half() for name, value in random_weights(compact_shapes(6, 3)).items()}
    save_file(halved, tmp_path / "weights.safetensors")
    wide = {name: value.float() for name, value in halved.items()}
    assert_equals(read(tmp_path / "weights.safetensors"), lambda low: srvgg(wide, low))


# What is refused


def without(weights: Weights, name: str) -> Weights:
    return {each: value for each, value in weights.items() if each != name}


TINY = random_weights(compact_shapes(6, 3))
WRONG: dict[str, tuple[object, str]] = {
    "a missing name": (without(TINY, "body.2.bias"), r"missing: body\.2\.bias$"),
    "an unknown name": (TINY | {"body.99x": torch.zeros(1)}, r"unknown: body\.99x$"),
    "another shape": (TINY | {"body.4.bias": torch.zeros(7)}, r"body\.4\.bias is \(7,\) and not \(6,\)"),
    "two times larger": (
        random_weights(compact_shapes(6, 3, scale=2)),
        r"body\.8\.weight is \(12, 6, 3, 3\)",
    ),
    "without PReLU": (without(TINY, "body.3.weight"), r"missing: body\.3\.weight"),
    "not finite": (TINY | {"body.4.bias": torch.full((6,), math.nan)}, r"not finite: body\.4\.bias"),
    "too many blocks": (TINY | {"body.900.bias": torch.zeros(6)}, "blocks is 449"),
    "no first layer": (without(random_weights(rrdb_shapes(6, 3, 1)), "conv_first.weight"), "conv_first"),
    "no network of these": ({"layer1.0.weight": torch.zeros(1)}, r"none of FRNet.*begin with layer1\.0"),
    "no tensors": ({"params": {"epoch": 3}}, "no tensors under epoch"),
    "no names": ([torch.zeros(1)], "holds list"),
    "nothing": ({}, "holds dict"),
}


@pytest.mark.parametrize(("content", "reason"), WRONG.values(), ids=WRONG.keys())
def test_what_is_not_exactly_the_network_is_refused_by_name(
    tmp_path: Path, content: object, reason: str
) -> None:
    with pytest.raises(ForeignError, match=reason):
        read(saved(tmp_path, content))


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello, this is no checkpoint", b"PK\x03\x04 half of a zip"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ForeignError, match="not a file of weights"):
        read(tmp_path / name)


class Malicious:
    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self._marker),))


def test_code_in_a_file_does_not_run(tmp_path: Path) -> None:
    path = saved(tmp_path, {"params": Malicious(tmp_path / "it-ran")})
    with pytest.raises(ForeignError, match="not a file of weights"):
        read(path)
    assert not (tmp_path / "it-ran").exists()


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing.pth")
