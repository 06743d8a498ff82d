"""G and D together: each moves only in its own step, and a run with both goes on exactly."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.discriminator import Discriminator
from tests.training.made import config_of, panning
from tests.training.run.test_train import assert_same_training, run_as_two_and_as_one
from training.config import ConfigError, TrainingConfig
from training.data.sampler import Sampler
from training.data.sequences import make_sequence
from training.data.sources import Library, load_library
from training.presets import PRESETS
from training.run.critic import stacks
from training.run.processes import Processes
from training.run.state import StateError, load_critic, save_state
from training.run.step import Judged, Step, find_losses, teach
from training.run.train import Limits, begin, train
from training.run.validate import critic_right

TINY = config_of(
    features=8, blocks=1, batch=2, frames=3, crop=16,
    iterations=4, warmup_iterations=1, precision="fp32", learning_rate=1e-3, photo_share=0.0,
    ping_pong_weight=0.5, gan_weight=0.05, critic_weight=0.1, critic_lead_max=9.0, validate_every=100,
)  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def library(material: Path) -> Library:
    return load_library(material)


def one_step(config: TrainingConfig, library: Library, tmp_path: Path) -> tuple[set[str], dict[str, float]]:
    """Which networks one step moved, and what it noted."""

    learner = begin(config, tmp_path / "none", None, CPU)
    assert learner.critic is not None
    take_step = Step(learner, config, Processes(0, 1, CPU), autocast=False)
    weights = {"G": learner.model.generator.conv_in.weight, "D": learner.critic.head.bias}
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    facts = take_step(Sampler(library, config).batch(0, (2, 3, 16)), 1e-3)
    moved = {name for name, weight in weights.items() if not torch.equal(weight, before[name])}
    return moved, {name: float(value) for name, value in facts.items()}


def test_both_learn_in_one_step(library: Library, tmp_path: Path) -> None:
    moved, facts = one_step(TINY, library, tmp_path)
    assert moved == {"G", "D"}
    assert {"pixel", "ping_pong", "gan", "critic_features", "critic", "critic_lead"} <= set(facts)


def test_d_leaves_f_alone(library: Library, tmp_path: Path) -> None:
    """F learns to line frames up; what D wants of a picture must not bend the motion it is shown by."""
    config = TINY.override({"flow": "fnet", "ping_pong_weight": 0.0})
    learner = begin(config, tmp_path / "none", None, CPU)
    model = learner.model
    assert model.flow_net is not None
    with torch.no_grad():  # a G that does not look at the warped last output, the other way from D to F
        model.generator.conv_in.weight[:, 3:].zero_()
    batch = Sampler(library, config).batch(0, (2, 3, 16))
    losses, _ = find_losses(model, batch, config, critic=learner.critic)
    (losses["gan"] + losses["critic_features"]).backward()
    assert all(weight.grad is None or not weight.grad.any() for weight in model.flow_net.parameters())


def test_d_learns_alone_at_first(library: Library, tmp_path: Path) -> None:
    moved, facts = one_step(TINY.override({"critic_start": 1}), library, tmp_path)
    assert moved == {"D"}
    assert "gradient" not in facts


def test_d_of_another_training_is_the_one_to_begin_with(library: Library, tmp_path: Path) -> None:
    train(TINY, library, tmp_path, Limits(steps=2))
    state = tmp_path / "state"
    taken = begin(TINY.override({"seed": 9}), tmp_path / "none", None, CPU, init_critic=state).critic
    assert taken is not None
    known = Discriminator()
    load_critic(state, known)
    assert all(torch.equal(value, known.state_dict()[name]) for name, value in taken.state_dict().items())


def test_d_that_is_not_there_or_does_not_fit_is_refused(library: Library, tmp_path: Path) -> None:
    lone = TINY.override({"gan_weight": 0.0, "critic_weight": 0.0})
    train(lone, library, tmp_path / "lone", Limits(steps=1))
    with pytest.raises(StateError, match="no D"):
        load_critic(tmp_path / "lone" / "state", Discriminator())
    train(TINY, library, tmp_path, Limits(steps=1))
    with pytest.raises(StateError, match="another model"):
        load_critic(tmp_path / "state", Discriminator(channels=3))
    with pytest.raises(ConfigError, match="gan_weight is 0"):
        begin(lone, tmp_path / "none", None, CPU, init_critic=tmp_path / "state")


def test_d_rests_while_it_leads(library: Library, tmp_path: Path) -> None:
    moved, facts = one_step(TINY.override({"critic_lead_max": -9.0}), library, tmp_path)
    assert moved == {"G"}
    assert "critic" not in facts


def test_d_tells_noise_from_pictures_after_a_few_steps() -> None:
    torch.manual_seed(0)
    critic = Discriminator(features=8)
    optimisers = {"adam": torch.optim.Adam(critic.parameters(), lr=2e-3)}
    smooth = torch.rand(4, 27, 1, 1).expand(4, 27, 32, 32)
    judged = Judged(smooth, smooth + 0.3 * torch.randn(4, 27, 32, 32), torch.zeros(()))
    notes = [teach(critic, optimisers, judged, "vanilla") for _ in range(30)]
    assert float(notes[-1]["critic_right"]) > 0.9
    assert float(notes[-1]["critic"]) < 0.7 * float(notes[0]["critic"])
    assert not any(weight.requires_grad for weight in critic.parameters())


def test_triplets_of_a_steady_pan_line_up_frame_by_frame() -> None:
    """The motions both ways must reach the frames they are of: moved frames equal the middle one."""
    scene = torch.from_numpy(panning(5, 64, 64, 0)).permute(0, 3, 1, 2).float()[None] / 255
    flow = torch.zeros(1, 8, 2, 16, 16)
    flow[:, :4, 0], flow[:, 4:, 0] = 0.5, -0.5  # the pan is two high-resolution pixels a frame
    found = stacks(scene, torch.zeros(1, 5, 3, 16, 16), flow, [1, 3])
    moved = found[:, 18:].view(2, 3, 3, *found.shape[-2:])
    for at in (0, 2):
        torch.testing.assert_close(moved[:, at], moved[:, 1], atol=1e-4, rtol=0)


def test_blind_d_gets_half_of_the_held_out_right() -> None:
    sequence = make_sequence("clip", panning(5, 64, 64, 0), "bd")
    model = begin(TINY, Path("none"), None, CPU).model
    critic = Discriminator(features=8)
    critic.head.bias.data.fill_(1e4)  # calls everything real
    highs = torch.from_numpy(np.asarray(sequence.target)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        assert critic_right(critic, model, TINY, sequence, highs) == 0.5


def test_cut_run_with_d_equals_one_run(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.run.journal.NOTE_EVERY", 1)
    train(TINY, library, tmp_path / "one", Limits())
    for _ in range(2):
        train(TINY, library, tmp_path / "cut", Limits(steps=2))
    assert_same_training(tmp_path / "cut", tmp_path / "one")


def test_two_processes_with_d_equal_one(material: Path, library: Library, tmp_path: Path) -> None:
    keys = {"frames": 3, "gan_weight": 0.05, "critic_weight": 0.025, "critic_lead_max": 9.0}
    for _, two, one in run_as_two_and_as_one(material, library, tmp_path, **keys):
        # Adam makes a step of a tenth of the rate (4e-6) of a gradient that is all rounding.
        torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-5)


def test_state_of_the_published_size_with_d_can_travel(tmp_path: Path) -> None:
    config = PRESETS["tecogan_paper"]
    learner = begin(config, tmp_path / "none", None, CPU)
    for _, network, optimisers in learner.trained():
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        for optimiser in optimisers.values():
            optimiser.step()
    save_state(tmp_path, config, learner)
    files = list(tmp_path.iterdir())
    assert len(files) <= 5
    assert all(file.stat().st_size <= 15 * 2**20 for file in files)


def test_weights_that_need_d_are_refused_without_it() -> None:
    with pytest.raises(ConfigError, match="critic_weight"):
        config_of(critic_weight=0.1)
    with pytest.raises(ConfigError, match="frames is 2"):
        config_of(gan_weight=0.1, frames=2)
