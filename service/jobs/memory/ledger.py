"""What owners used: service/jobs/quotas.py tells the rules, redis/lua/quotas.lua does the same in Valkey."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from service.jobs.quotas import DAY_S, MINUTE_S, Amounts, Drawn, Quota, refused


@dataclass(slots=True)
class Ledger:
    clock: Callable[[], float]
    used: dict[tuple[str, int], Counter[str]] = field(default_factory=dict)  # by owner and day
    drawn: Counter[tuple[str, int]] = field(default_factory=Counter)  # requests by owner and minute
    counted: set[str] = field(default_factory=set)  # what is counted once, by its name

    def admit(self, owner: str, quota: Quota, asked: Amounts, *, open_jobs: int) -> None:
        used = {**self._used(owner), "open_jobs": open_jobs}
        for what, amount in asked.items():
            limit = getattr(quota, what)
            if amount and limit is not None and used.get(what, 0) + amount > limit:
                raise refused(what, limit, used.get(what, 0), amount, DAY_S - self.clock() % DAY_S)

    def count(self, once: str, owner: str, amounts: Mapping[str, float]) -> None:
        """Add them to what the owner used, unless that was done under this name."""
        if once not in self.counted:
            self._used(owner).update(amounts)
        self.counted.add(once)

    def draw(self, owner: str, limit: int, count: int) -> Drawn:
        minute = owner, int(self.clock() // MINUTE_S)
        granted = max(0, min(count, limit - self.drawn[minute]))
        self.drawn[minute] += granted
        remaining = max(0, limit - self.drawn[minute])
        return Drawn(granted=granted, remaining=remaining, reset_s=MINUTE_S - self.clock() % MINUTE_S)

    def _used(self, owner: str) -> Counter[str]:
        return self.used.setdefault((owner, int(self.clock() // DAY_S)), Counter())
