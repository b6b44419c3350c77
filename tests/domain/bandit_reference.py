"""What a well-known library earns on the same arms: `python -m tests.domain.bandit_reference`.

Prints `bandit_reference.json`, which is committed because the library brings 470 MB with it, of
which nothing else here has any use. To make it again, `pip install mabwiser` in an environment of
its own and direct what this prints into that file.
"""

import json
import platform
import random
from collections.abc import Callable, Sequence
from importlib.metadata import version
from statistics import median
from typing import Any, Final

SEEDS: Final = range(20)

MANY_SEEDS: Final = range(160)
"""For one set of arms alone: there the median of twenty strays by a quarter, whoever picks."""

# name: (mean reward of each arm, steps). Each reward is 0 or 1.
BERNOULLI: Final[dict[str, tuple[list[float], int]]] = {
    "one clearly best": ([0.8, 0.5, 0.2], 1000),
    "four in a row": ([0.75, 0.65, 0.55, 0.45], 2000),
    "two alike": ([0.6, 0.5], 2000),
    "good ones close together": ([0.9, 0.85, 0.8, 0.6, 0.3], 2000),
}


def regret(
    means: Callable[[int], Sequence[float]],
    steps: int,
    seed: int,
    pick: Callable[[], int],
    learn: Callable[[int, float], Any],
    draw: Callable[[random.Random, float], float] = lambda chance, mean: chance.random() < mean,
) -> float:
    """What is lost against always picking the arm that is best at that step."""
    chance = random.Random(10**6 + seed)
    lost = 0.0
    for step in range(steps):
        now = means(step)
        arm = pick()
        learn(arm, float(draw(chance, now[arm])))
        lost += max(now) - now[arm]
    return lost


def _of_mabwiser(means: list[float], steps: int, seed: int) -> float:
    from mabwiser.mab import MAB, LearningPolicy

    bandit = MAB(list(range(len(means))), LearningPolicy.ThompsonSampling(), seed=seed)
    # It must be fitted before it predicts; no decision is no knowledge.
    bandit.fit([], [])
    return regret(
        lambda _: means,
        steps,
        seed,
        bandit.predict,
        lambda arm, reward: bandit.partial_fit([arm], [reward]),
    )


if __name__ == "__main__":
    lost = {
        name: [_of_mabwiser(means, steps, seed) for seed in MANY_SEEDS]
        for name, (means, steps) in BERNOULLI.items()
    }
    made_with = {name: version(name) for name in ("mabwiser", "numpy")}
    made_with["python"] = platform.python_version()
    found = {
        "made_with": made_with,
        "median_of_all_arms_together": round(
            median(sum(each[seed] for each in lost.values()) for seed in SEEDS), 2
        ),
        "median_of_many": {name: round(median(each), 2) for name, each in lost.items()},
    }
    print(json.dumps(found, indent=2))
