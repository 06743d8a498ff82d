"""One step of a training, read from top to bottom: play the clips, weigh what is wrong with them, learn.

`Step.__call__` is the whole of it; `find_losses`, in G's turn, and `teach`, in D's, are where pictures are
looked at. Not here: where a batch comes from (data/sampler.py), the losses themselves (losses/), what D is
shown (critic.py), the loop around it (train.py).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from model_core.discriminator import Discriminator
from model_core.model import Model
from model_core.recurrence import estimate_flow, unroll
from training.config import CriticKindName, LooksAtName, LossConfig, TrainingConfig
from training.data.batches import Batch
from training.degradations.linear import project
from training.losses.best_buddy import back_projection, best_buddy
from training.losses.critic import (
    adversarial_critic,
    as_judged,
    critic_lead,
    feature_matching,
    paid_by_g,
    right,
)
from training.losses.perceptual import Vgg16
from training.losses.pixel import of_each_clip, ping_pong, robust_end_point, warping
from training.run.critic import shown
from training.run.optimisers import set_rate
from training.run.processes import Processes
from training.run.state import Learner


class TrainingDivergedError(Exception):
    """A loss or gradient is not finite; the last good state is on disk."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What D saw of G's work, without its graph: (M, C, H', W'), and how far D was ahead on them."""

    real: Tensor
    fake: Tensor
    lead: Tensor


Found = tuple[dict[str, Tensor], Judged | None]


class Step:
    """A training's step, to be called with batch after batch.

    What is differentiated is wrapped for the processes that share the work: G's losses, D in its own turn.
    """

    def __init__(
        self,
        learner: Learner,
        config: TrainingConfig,
        processes: Processes,
        *,
        vgg: Vgg16 | None = None,
        autocast: bool,
    ) -> None:
        self._learner, self._config, self._processes = learner, config, processes
        self._autocast = autocast
        find = partial(find_losses, config=config, critic=learner.critic, vgg=vgg)
        self._find_losses = processes.wrap(OfModel(learner.model, find))
        self._critic: nn.Module | None = None
        if learner.critic is not None:
            self._critic = processes.wrap(learner.critic)
            learner.critic.requires_grad_(False)  # G's losses go through D and must leave nothing in it

    def __call__(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """G's turn, then D's unless it leads by too much. Returns what is worth noting.

        Raises TrainingDivergedError; then nothing has moved.
        """
        learner, config, step = self._learner, self._config, self._learner.progress.step
        schedule = config.schedule
        alone = learner.critic is not None and step < config.critic.start

        with torch.set_grad_enabled(not alone):
            with torch.autocast(batch.low.device.type, torch.bfloat16, enabled=self._autocast):
                losses, judged = self._find_losses(batch)
            loss = weighed_sum(losses, config.losses)
        facts = {"loss": loss, **losses}

        if not alone:
            set_rate(learner.optimisers, rate)
            learner.model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            gradient = nn.utils.clip_grad_norm_(learner.model.parameters(), schedule.clip_norm or math.inf)
            if not (torch.isfinite(loss) and torch.isfinite(gradient)):
                raise TrainingDivergedError(f"step {step}: loss {loss.item()}, gradient {gradient.item()}")
            for optimiser in learner.optimisers.values():
                optimiser.step()
            # Early averages would remember the random start; they forget faster.
            update_average(learner.ema, learner.model, min(schedule.ema_decay, (1 + step) / (10 + step)))
            facts["gradient"] = gradient
        learner.progress.step += 1

        if self._critic is not None and judged is not None:
            facts["critic_lead"] = judged.lead
            if alone or self._processes.mean(judged.lead.item()) < config.critic.lead_max:
                set_rate(learner.critic_optimisers, config.critic.pace * rate)
                facts |= teach(
                    self._critic,
                    learner.critic_optimisers,
                    judged,
                    config.critic.kind,
                    autocast=self._autocast,
                )
        return {name: value.detach() for name, value in facts.items()}


def find_losses(
    model: Model,
    batch: Batch,
    config: TrainingConfig,
    *,
    critic: Discriminator | None = None,
    vgg: Vgg16 | None = None,
) -> Found:
    """What is wrong with G's work, by name and unweighed, and what D was shown of it."""
    low, target, flow, length = batch.low, batch.target, batch.flow, batch.low.shape[1]
    if config.task == "flow":
        assert flow is not None, "flow is learned where it is known"
        return {"end_point": robust_end_point(motion(model, low), flow)}, None
    wanted, sight, kind = config.losses, config.critic.sees, config.critic.kind
    found: dict[str, Tensor] = {}
    frames = forth_and_back(low) if config.moves_both_ways else low
    if model.flow_net is not None:
        flow = motion(model, frames)
        before, here = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
        found["warp"] = warping(before, here, flow.flatten(0, 1))
    if wanted.ping_pong_weight:
        played, true_played = unroll(model, frames, flow), forth_and_back(target)
        found["ping_pong"] = ping_pong(played)
    else:
        run_in = length - config.data.frames
        flow_forth = None if flow is None else flow[:, : length - 1]
        played = unroll(model, low, flow_forth, run_in=run_in)
        low, true_played, length = low[:, run_in:], target[:, run_in:], config.data.frames
    each = of_each_clip(played, true_played, wanted.pixel_loss, wanted.luma_share)
    found["pixel"] = (each if batch.pixel_factor is None else each * batch.pixel_factor).mean()
    high = played[:, :length]
    if wanted.back_projection_weight:
        found["back_projection"] = back_projection(high, low, lambda each: project(each, config.data.linear))
    seen, centres = looked_at(played.shape[1], length, wanted.looks_at)
    pictures, true_pictures = (clip[:, seen].flatten(0, 1) for clip in (played, true_played))
    if wanted.best_buddy_weight:
        found["best_buddy"] = best_buddy(pictures, true_pictures)
    if vgg is not None:
        found["vgg"] = vgg.distance(pictures, true_pictures)
    if critic is None:
        return found, None
    moved_by = None if flow is None else flow.detach()  # F learns to line frames up, not to please D
    real = shown(true_played, frames, moved_by, centres, sight)
    fake = shown(played, frames, moved_by, centres, sight)
    with torch.no_grad():
        real_logits, real_features = critic(real)
    fake_logits, fake_features = critic(fake)
    found["gan"] = paid_by_g(real_logits, fake_logits, kind)
    found["critic_features"] = feature_matching(fake_features, real_features)
    lead = critic_lead(*as_judged(real_logits, fake_logits.detach(), kind))
    return found, Judged(real, fake.detach(), lead)


def looked_at(played: int, length: int, which: LooksAtName) -> tuple[list[int], list[int]]:
    """The frames that VGG sees, and the middle ones of the threes that D sees, of `played` frames of a clip.

    length   of the way forth
    VGG costs five times what G does; where it and D skip every second frame, the recurrence ties them in.
    """
    if which == "all" and length > 1:
        return list(range(played)), list(range(1, played // 3 * 3, 3))
    centres = list(range(1, length - 1, 2)) or list(range(length))
    return centres, centres


def weighed_sum(losses: Mapping[str, Tensor], by: LossConfig) -> Tensor:
    """What is minimised."""
    weights = {
        "pixel": by.pixel_weight,
        "best_buddy": by.best_buddy_weight,
        "back_projection": by.back_projection_weight,
        "warp": by.warp_weight,
        "ping_pong": by.ping_pong_weight,
        "vgg": by.vgg_weight,
        "gan": by.gan_weight,
        "critic_features": by.critic_weight,
        "end_point": 1.0,
    }
    parts = [weights[name] * value for name, value in losses.items()]
    return sum(parts[1:], start=parts[0])


def teach(
    critic: nn.Module,
    optimisers: Mapping[str, Optimizer],
    judged: Judged,
    kind: CriticKindName,
    *,
    autocast: bool = False,
) -> dict[str, Tensor]:
    """D's turn, on the pictures that G's turn left: its loss, and the part that it took for what it is."""
    critic.requires_grad_(True)
    with torch.autocast(judged.real.device.type, torch.bfloat16, enabled=autocast):
        logits, _ = critic(torch.cat((judged.real, judged.fake)))
        of_real, of_fake = logits.chunk(2)
        of_real, of_fake = as_judged(of_real, of_fake, kind)
        loss = adversarial_critic(of_real, of_fake)
    critic.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    for optimiser in optimisers.values():
        optimiser.step()
    critic.requires_grad_(False)
    return {"critic": loss.detach(), "critic_right": right(of_real, of_fake)}


class OfModel(nn.Module):
    """A function of the model and a batch as a module, since that is what DDP wraps."""

    def __init__(self, model: Model, find: Callable[[Model, Batch], Found]) -> None:
        super().__init__()
        self.model, self._find = model, find

    def forward(self, batch: Batch) -> Found:
        return self._find(self.model, batch)


def motion(model: Model, frames: Tensor) -> Tensor:
    """(N, T, 3, h, w) -> (N, T-1, 2, h, w): F's, from each frame back to the one before."""
    count, length, _, height, width = frames.shape
    flow = estimate_flow(model, frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1))
    return flow.view(count, length - 1, 2, height, width)


def update_average(ema: dict[str, Tensor], model: Model, decay: float) -> None:
    current = model.state_dict()
    torch._foreach_lerp_(list(ema.values()), [current[name] for name in ema], 1 - decay)


def forth_and_back(clip: Tensor) -> Tensor:
    """(N, T, ...) -> (N, 2T-1, ...), the order of sequences.forth_and_back."""
    return torch.cat((clip, clip[:, :-1].flip(1)), dim=1)
