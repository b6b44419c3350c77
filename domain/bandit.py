"""Which provider gets the next session: Thompson sampling over what earlier ones earned.

Each provider is an arm with a Beta posterior per kind of work. One value is drawn from each
posterior and the highest wins, so that a provider is tried as often as it may still be the best.

Providers change. Two things keep the posterior of one that has from outweighing what it is now:

- what an arm earned lately is watched beside all that it earned. Where the two disagree by more
  than chance explains, the older part is dropped;
- evidence fades with time, half of it in `HALF_LIFE_SECONDS`, so that a provider that nobody used
  for long is tried again.

Neither touches the posterior of an arm that stays as it is while the clock stands still.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from random import Random
from typing import Final

HALF_LIFE_SECONDS: Final = 30 * 24 * 3600.0

RECENT_DECAY: Final = 0.95
"""The weight of a reward among the recent ones falls by this with each that follows."""

RECENT_COUNT: Final = (1 + RECENT_DECAY) / (1 - RECENT_DECAY)
"""How many equally weighted rewards vary as little as the recent ones do together: 39."""

CHANGE: Final = 0.2
"""The least difference of mean rewards that counts as a change."""

CHANGE_DEVIATIONS: Final = 4.5
"""By how many standard errors it must exceed chance. It is looked for after every reward."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What is known of one provider at one kind of work. Of a new one nothing is: Beta(1, 1)."""

    alpha: float = 1.0
    beta: float = 1.0
    recent_reward: float = 0.0  # what it earned lately: a part of what alpha counts
    recent_weight: float = 0.0

    @property
    def evidence(self) -> float:
        """How many rewards the posterior rests on, faded ones in part."""
        return self.alpha + self.beta - 2

    @property
    def expected_reward(self) -> float:
        return self.alpha / (self.alpha + self.beta)

    @property
    def confidence(self) -> float:
        """One minus the standard deviation of the posterior."""
        total = self.alpha + self.beta
        return 1 - sqrt(self.alpha * self.beta / (total * total * (total + 1)))

    def learned(self, reward: float) -> "Arm":
        """The arm after a reward between 0 and 1, all of which counts: in part as a success, the
        rest as a failure."""
        grown = Arm(
            self.alpha + reward,
            self.beta + 1 - reward,
            self.recent_reward * RECENT_DECAY + reward,
            self.recent_weight * RECENT_DECAY + 1,
        )
        return grown._of_late() if grown._has_changed() else grown

    def faded(self, seconds: float) -> "Arm":
        """The arm after a time without rewards."""
        kept = 0.5 ** (max(0.0, seconds) / HALF_LIFE_SECONDS)
        return Arm(
            1 + (self.alpha - 1) * kept,
            1 + (self.beta - 1) * kept,
            self.recent_reward * kept,
            self.recent_weight * kept,
        )

    def _has_changed(self) -> bool:
        older = self.evidence - self.recent_weight
        if older < self.recent_weight:  # so little that the posterior itself is soon put right
            return False
        older_mean = (self.alpha - 1 - self.recent_reward) / older
        difference = abs(self.recent_reward / self.recent_weight - older_mean)
        spread = self.expected_reward * (1 - self.expected_reward)
        chance = sqrt(spread * (1 / RECENT_COUNT + 1 / older))
        return difference > max(CHANGE, CHANGE_DEVIATIONS * chance)

    def _of_late(self) -> "Arm":
        return Arm(
            1 + self.recent_reward,
            1 + max(0.0, self.recent_weight - self.recent_reward),
            self.recent_reward,
            self.recent_weight,
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """A provider, and what was known of it."""

    provider: str
    expected_reward: float
    confidence: float
    explores: bool  # another one was expected to earn more


def choose(arms: Mapping[str, Arm], random: Random) -> Choice:
    """Draw from every arm and take the highest; there must be one at least."""
    provider = max(arms, key=lambda name: random.betavariate(arms[name].alpha, arms[name].beta))
    chosen = arms[provider]
    best = max(arm.expected_reward for arm in arms.values())
    return Choice(
        provider, chosen.expected_reward, chosen.confidence, chosen.expected_reward < best
    )
