"""What G pays for D's opinion, and D for its errors: pure functions of D's logits and features.

What D is shown: run/critic.py. Its turn in a step: run/step.py.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from training.config import CriticKindName


def feature_matching(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Sum over layers of |found - wanted|, in units of the layer's own mean size.

    Source: TecoGAN, table 1, the same loss on D's features. Its code divides each layer by a constant, the
    layer's usual distance in one trained D; dividing by what D makes of the truth does the same for any.
    """
    distances = [
        (a.float() - b.float()).abs().mean() / b.float().abs().mean()
        for a, b in zip(found, wanted, strict=True)
    ]
    return torch.stack(distances).sum()


def adversarial_generator(fake: Tensor) -> Tensor:
    """-E[log D(output)], from logits: what G pays for being found out. Source: Goodfellow et al. 2014."""
    return F.softplus(-fake).mean()


def adversarial_critic(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log D(target)] - E[log(1 - D(output))], from logits: what D pays for its errors; 2 log 2 blindly."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def relative(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of a relativistic average D, which asks what is more real than the mean of the other side.

    Logits mean nothing by themselves then: adding a number to all of them changes no loss.
    Source: ESRGAN, Wang et al. 2018 (arXiv:1809.00219), section 3.2, D_Ra.
    """
    return real - fake.mean(), fake - real.mean()


def relative_generator(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log(1 - D_Ra(target))] - E[log D_Ra(output)], from D's own logits: G wants the two sides exchanged.

    D pays adversarial_critic(*relative(real, fake)). Source: ESRGAN, eq. 2 (and eq. 1 for D).
    """
    of_real, of_fake = relative(real, fake)
    return adversarial_critic(of_fake, of_real)


def critic_lead(real: Tensor, fake: Tensor) -> Tensor:
    """E[log D(target)] - E[log D(output)], from logits: 0 where D can't tell them apart.

    Source: the balance that TecoGAN's code keeps below 0.4 by letting D rest.
    """
    return F.logsigmoid(real).mean() - F.logsigmoid(fake).mean()


def paid_by_g(real: Tensor, fake: Tensor, kind: CriticKindName) -> Tensor:
    """From D's own logits, by its kind."""
    return relative_generator(real, fake) if kind == "relativistic" else adversarial_generator(fake)


def as_judged(of_real: Tensor, of_fake: Tensor, kind: CriticKindName) -> tuple[Tensor, Tensor]:
    """D's logits so that the sign says what it takes its picture for."""
    return relative(of_real, of_fake) if kind == "relativistic" else (of_real, of_fake)


def right(of_real: Tensor, of_fake: Tensor) -> Tensor:
    """The part of logits (of `as_judged`) that are right, each side counting half."""
    return ((of_real.detach() > 0).float().mean() + (of_fake.detach() <= 0).float().mean()) / 2
