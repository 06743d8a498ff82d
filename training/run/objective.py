"""Objective: from a batch to G's losses by name, and the one place where they are weighed.

Losses themselves: losses.py, best_buddy.py. What D learns: critic.py. Start reading at `Objective.forward`.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from model_core.discriminator import Discriminator, triplet_stack
from model_core.model import Model
from model_core.recurrence import estimate_flow, unroll
from training.config import CriticKindName, CriticSightName, TrainingConfig
from training.degradations.linear import project
from training.losses import critic as critic_losses
from training.losses import pixel as losses
from training.losses.best_buddy import back_projection, best_buddy, textured
from training.losses.perceptual import Vgg16

BORDER_PART: Final = 8  # D sees the inner three quarters of a crop, as in TecoGAN's code


@dataclass(frozen=True, slots=True)
class Judged:
    """What D saw of G's work, without its graph: (M, C, H', W'), and how far D was ahead on them."""

    real: Tensor
    fake: Tensor
    lead: Tensor


class Objective(nn.Module):
    """A module, so that DDP can wrap what is differentiated. Losses come unweighted."""

    def __init__(
        self,
        model: Model,
        config: TrainingConfig,
        *,
        critic: Discriminator | None = None,
        vgg: Vgg16 | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self._config = config
        self._critic = (critic,)  # in a tuple, since it is not this module's to train
        self._vgg = vgg

    def forward(
        self, low: Tensor, target: Tensor, flow: Tensor | None, pixel_factor: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Judged | None]:
        """low (N, T, 3, h, w), target (N, T, 3, H, W); flow from the data, or None: F is a network, or none.

        flow   (N, T-1, 2, h, w), or (N, 2T-2, 2, h, w) of the clip played forth and back
        pixel_factor   (N,) of each clip's pixel loss, or None: 1
        """
        if self._config.task == "flow":
            assert flow is not None, "flow is learned where it is known"
            return {"end_point": losses.robust_end_point(self._estimate(low), flow)}, None
        found: dict[str, Tensor] = {}
        length = low.shape[1]
        moves = _forth_and_back(low) if self._config.moves_both_ways else low
        if self.model.flow_net is not None:
            flow = self._estimate(moves)
            found["warp"] = losses.warping(
                moves[:, :-1].flatten(0, 1), moves[:, 1:].flatten(0, 1), flow.flatten(0, 1)
            )
        if self._config.ping_pong_weight:
            played = unroll(self.model, moves, flow)
            found["ping_pong"] = losses.ping_pong(played)
            target_played = _forth_and_back(target)
        else:
            played = unroll(self.model, low, None if flow is None else flow[:, : length - 1])
            target_played = target
        each = torch.stack(
            [self._pixel(a[None], b[None]) for a, b in zip(played, target_played, strict=True)]
        )
        found["pixel"] = (each if pixel_factor is None else each * pixel_factor).mean()
        high = played[:, :length]
        if self._config.back_projection_weight:
            found["back_projection"] = back_projection(high, low, self._degrade)
        # What looks closely looks at every second frame: VGG costs five times what G does, and the recurrence
        # ties in the others.
        centres = list(range(1, length - 1, 2)) or list(range(length))
        pictures, true_pictures = (clip[:, centres].flatten(0, 1) for clip in (high, target))
        if self._config.best_buddy_weight:
            found["best_buddy"] = best_buddy(pictures, true_pictures)
        if self._vgg is not None:
            found["vgg"] = self._vgg.distance(pictures, true_pictures)
        (critic,) = self._critic
        if critic is None:
            return found, None
        sight = self._config.critic_sees
        real = shown(target, low, None if flow is None else flow.detach(), centres, sight)
        fake = shown(high, low, flow, centres, sight)
        of_fake, judged = self._hear(critic, real, fake)
        return found | of_fake, judged

    def _pixel(self, high: Tensor, target: Tensor) -> Tensor:
        """Distance of one clip (1, T, 3, H, W) and the truth."""
        distance = losses.charbonnier if self._config.pixel_loss == "charbonnier" else losses.log_square
        share = self._config.luma_share
        if not share:
            return distance(high, target)
        luma = distance(losses.luma(high), losses.luma(target))
        return share * luma + (1 - share) * distance(high, target)

    def _hear(self, critic: Discriminator, real: Tensor, fake: Tensor) -> tuple[dict[str, Tensor], Judged]:
        """What D's opinion costs G."""
        with torch.no_grad():
            real_logits, real_features = critic(real)
        fake_logits, fake_features = critic(fake)
        kind = self._config.critic_kind
        found = {
            "gan": critic_losses.relative_generator(real_logits, fake_logits)
            if kind == "relativistic"
            else critic_losses.adversarial_generator(fake_logits),
            "critic_features": critic_losses.feature_matching(fake_features, real_features),
        }
        lead = critic_losses.critic_lead(*as_judged(real_logits, fake_logits.detach(), kind))
        return found, Judged(real, fake.detach(), lead)

    def _degrade(self, high: Tensor) -> Tensor:
        return project(high, self._config.linear)  # the config refuses a drawn protocol here

    def _estimate(self, frames: Tensor) -> Tensor:
        """(N, T, 3, h, w) -> (N, T-1, 2, h, w): the motion from each frame back to the one before."""
        count, length, _, height, width = frames.shape
        flow = estimate_flow(self.model, frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1))
        return flow.view(count, length - 1, 2, height, width)


def stacks(high: Tensor, low: Tensor, flow: Tensor, centres: list[int]) -> Tensor:
    """(N·len(centres), 27, H', W'): the triplets around those frames of every clip, as D sees them.

    high (N, T, 3, H, W), low (N, T, 3, h, w), flow (N, 2T-2, 2, h, w) of the clip played forth and back
    """
    border = min(high.shape[-2:]) // BORDER_PART
    ahead = flow.flip(1)  # played back, frame t comes after t + 1
    return torch.cat(
        [
            triplet_stack(high[:, t - 1 : t + 2], low[:, t - 1 : t + 2], flow[:, t - 1], ahead[:, t], border)
            for t in centres
        ]
    )


def shown(
    high: Tensor, low: Tensor, flow: Tensor | None, centres: list[int], sight: CriticSightName
) -> Tensor:
    """What D sees of those frames: `stacks`, or the pictures alone where there is no motion."""
    seen = torch.cat([high[:, t] for t in centres]) if flow is None else stacks(high, low, flow, centres)
    return seen if sight == "all" else only_textured(seen, torch.cat([low[:, t] for t in centres]))


def only_textured(seen: Tensor, low: Tensor) -> Tensor:
    """(M, C, H', W'), the inner part of what was made of `low` (M, 3, h, w), black where that is flat."""
    mask = textured(low)
    top, left = ((whole - inner) // 2 for whole, inner in zip(mask.shape[-2:], seen.shape[-2:], strict=True))
    return seen * mask[..., top : top + seen.shape[-2], left : left + seen.shape[-1]]


def as_judged(of_real: Tensor, of_fake: Tensor, kind: CriticKindName) -> tuple[Tensor, Tensor]:
    """D's logits so that the sign says what it takes its picture for."""
    return critic_losses.relative(of_real, of_fake) if kind == "relativistic" else (of_real, of_fake)


def total(found: dict[str, Tensor], config: TrainingConfig) -> Tensor:
    """The sum that is minimised."""
    weights = {
        "pixel": config.pixel_weight,
        "best_buddy": config.best_buddy_weight,
        "back_projection": config.back_projection_weight,
        "warp": config.warp_weight,
        "ping_pong": config.ping_pong_weight,
        "vgg": config.vgg_weight,
        "gan": config.gan_weight,
        "critic_features": config.critic_weight,
        "end_point": 1.0,
    }
    parts = [weights[name] * value for name, value in found.items()]
    return sum(parts[1:], start=parts[0])


def _forth_and_back(clip: Tensor) -> Tensor:
    """(N, T, ...) -> (N, 2T-1, ...), the order of sequences.forth_and_back."""
    return torch.cat((clip, clip[:, :-1].flip(1)), dim=1)
