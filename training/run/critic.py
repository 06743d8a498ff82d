"""How D learns, and when it rests. What G pays for D's opinion: objective.py."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from model_core.discriminator import Discriminator
from training.config import CriticKindName
from training.losses.critic import adversarial_critic
from training.run.objective import Judged, as_judged


class CriticObjective(nn.Module):
    """A module, so that DDP can wrap D, which G's objective uses unwrapped."""

    def __init__(self, critic: Discriminator, kind: CriticKindName = "vanilla") -> None:
        super().__init__()
        self.critic, self._kind = critic, kind

    def forward(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The stacks that G's step left -> D's loss, and the part of them that it takes for what they are."""
        logits, _ = self.critic(torch.cat((real, fake)))
        of_real, of_fake = logits.chunk(2)
        of_real, of_fake = as_judged(of_real, of_fake, self._kind)
        return adversarial_critic(of_real, of_fake), right(of_real, of_fake)


def right(of_real: Tensor, of_fake: Tensor) -> Tensor:
    """The part of logits (of objective.as_judged) that are right, each side counting half."""
    return ((of_real.detach() > 0).float().mean() + (of_fake.detach() <= 0).float().mean()) / 2


def learn(
    objective: nn.Module, optimisers: Mapping[str, Optimizer], judged: Judged, *, autocast: bool
) -> dict[str, Tensor]:
    """One step of D. Returns what is worth noting."""
    objective.requires_grad_(True)
    with torch.autocast(judged.real.device.type, torch.bfloat16, enabled=autocast):
        loss, right = objective(judged.real, judged.fake)
    objective.zero_grad()
    loss.backward()
    for optimiser in optimisers.values():
        optimiser.step()
    objective.requires_grad_(False)  # G's step goes through D and must leave nothing in it
    return {"critic": loss.detach(), "critic_right": right}
