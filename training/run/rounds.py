"""Rounds: what one step does to G and, where there is one, to D. The loop around it: train.py."""

import contextlib
import math

import torch
from torch import Tensor, nn

from model_core.model import Model
from training.config import TrainingConfig
from training.data.batches import Batch
from training.run.critic import CriticObjective, learn
from training.run.objective import Objective, total
from training.run.optimisers import set_rate
from training.run.processes import Processes
from training.run.state import Learner


class TrainingDivergedError(Exception):
    """A loss or gradient is not finite; the last good state is on disk."""


class Rounds:
    """Steps of G and, where there is one, of D, each wrapped for the processes that share the work."""

    def __init__(
        self,
        learner: Learner,
        config: TrainingConfig,
        objective: Objective,
        processes: Processes,
        *,
        autocast: bool,
    ) -> None:
        self._learner, self._config, self._processes = learner, config, processes
        self._autocast = autocast
        self._objective = processes.wrap(objective)
        self._critic: nn.Module | None = None
        if learner.critic is not None:
            self._critic = processes.wrap(CriticObjective(learner.critic, config.critic_kind))
            learner.critic.requires_grad_(False)  # until its own step

    def advance(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """One step of G, then of D unless it leads by too much. Returns what is worth noting."""
        alone = self._critic is not None and self._learner.progress.step < self._config.critic_start
        with torch.no_grad() if alone else contextlib.nullcontext():
            with torch.autocast(batch.low.device.type, torch.bfloat16, enabled=self._autocast):
                losses, judged = self._objective(batch.low, batch.target, batch.flow, batch.pixel_factor)
            loss = total(losses, self._config)
        facts = {"loss": loss, **losses}
        if not alone:
            facts["gradient"] = self._descend(loss, rate)
        self._learner.progress.step += 1
        if judged is not None:
            facts["critic_lead"] = judged.lead
            assert self._critic is not None
            if alone or self._processes.mean(judged.lead.item()) < self._config.critic_lead_max:
                set_rate(self._learner.critic_optimisers, self._config.critic_pace * rate)
                facts |= learn(self._critic, self._learner.critic_optimisers, judged, autocast=self._autocast)
        return {name: value.detach() for name, value in facts.items()}

    def _descend(self, loss: Tensor, rate: float) -> Tensor:
        """Gradient, optimisers, average; -> the gradient's length. Raises TrainingDivergedError."""
        learner, config = self._learner, self._config
        set_rate(learner.optimisers, rate)
        learner.model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = nn.utils.clip_grad_norm_(learner.model.parameters(), config.clip_norm or math.inf)
        step = learner.progress.step
        if not (torch.isfinite(loss) and torch.isfinite(gradient)):
            raise TrainingDivergedError(f"step {step}: loss {loss.item()}, gradient {gradient.item()}")
        for optimiser in learner.optimisers.values():
            optimiser.step()
        # Early averages would remember the random start; they forget faster.
        update_average(learner.ema, learner.model, min(config.ema_decay, (1 + step) / (10 + step)))
        return gradient


def update_average(ema: dict[str, Tensor], model: Model, decay: float) -> None:
    current = model.state_dict()
    torch._foreach_lerp_(list(ema.values()), [current[name] for name in ema], 1 - decay)
