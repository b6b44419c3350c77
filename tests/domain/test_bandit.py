"""How well the arms are picked: regret on arms that stay, and on arms that change."""

import json
import math
import random
from pathlib import Path
from statistics import median

import pytest

from domain.bandit import CHANGE, HALF_LIFE_SECONDS, Arm, Choice, choose
from tests.domain.bandit_reference import BERNOULLI, MANY_SEEDS, SEEDS, regret

REFERENCE = json.loads((Path(__file__).parent / "bandit_reference.json").read_text())

STEPS = 2000
A_DAY = 24 * 3600.0


class Routing:
    """The bandit at work, with `seconds` from one reward to the next."""

    def __init__(self, arms: int, seed: int, seconds: float = 0.0) -> None:
        self.arms = {str(arm): Arm() for arm in range(arms)}
        self.random = random.Random(seed)
        self.seconds = seconds

    def pick(self) -> int:
        return int(choose(self.arms, self.random).provider)

    def learn(self, arm: int, reward: float) -> None:
        if self.seconds:
            self.arms = {name: each.faded(self.seconds) for name, each in self.arms.items()}
        self.arms[str(arm)] = self.arms[str(arm)].learned(reward)


class Forgetless(Routing):
    """Plain Thompson sampling: all that ever was counts the same."""

    def learn(self, arm: int, reward: float) -> None:
        known = self.arms[str(arm)]
        self.arms[str(arm)] = Arm(known.alpha + reward, known.beta + 1 - reward)


def lost(kind, means, seed, steps=STEPS, draw=None, **given) -> float:
    """The regret of one run."""
    routing = kind(len(means(0)), seed, **given)
    more = {} if draw is None else {"draw": draw}
    return regret(means, steps, seed, routing.pick, routing.learn, **more)


def median_regret(kind, means, seeds, **given) -> float:
    return median(lost(kind, means, seed, **given) for seed in seeds)


# --- arms that stay as they are ---


def test_regret_on_bernoulli_arms_is_at_most_a_fifth_over_mabwisers(capsys):
    """The median of twenty seeds, each of which plays all the sets of arms."""
    ours = median(
        sum(lost(Routing, lambda _, m=means: m, seed, steps) for means, steps in BERNOULLI.values())
        for seed in SEEDS
    )

    theirs = REFERENCE["median_of_all_arms_together"]
    with capsys.disabled():
        print(f"\nbandit: median regret {ours:.1f}, mabwiser's {theirs:.1f}")
    assert ours <= 1.2 * theirs


@pytest.mark.prove
@pytest.mark.parametrize("name", BERNOULLI)
def test_on_no_set_of_bernoulli_arms_is_it_worse_than_that(name, capsys):
    means, steps = BERNOULLI[name]

    ours = median(lost(Routing, lambda _: means, seed, steps) for seed in MANY_SEEDS)

    theirs = REFERENCE["median_of_many"][name]
    with capsys.disabled():
        print(f"\nbandit, {name}: median regret {ours:.1f}, mabwiser's {theirs:.1f}")
    assert ours <= 1.2 * theirs


def test_the_reference_is_of_these_arms():
    assert set(REFERENCE["median_of_many"]) == set(BERNOULLI)
    assert REFERENCE["made_with"]["mabwiser"]


def test_fractional_rewards_between_one_half_and_one_are_learned_from():
    """Where only rewards below one half counted as failures, all of these would look alike."""
    means = [0.75, 0.6]

    ours = median_regret(
        Routing,
        lambda _: means,
        range(6),
        steps=1000,
        draw=lambda chance, mean: mean + chance.uniform(-0.1, 0.1),
    )

    at_random = 1000 * 0.15 / 2
    assert ours < at_random / 3


# --- arms that change ---

CHANGES = {
    "best and worst trade places": lambda t: [0.8, 0.4, 0.3] if t < 1000 else [0.3, 0.4, 0.8],
    "the best breaks down": lambda t: [0.8, 0.6, 0.3] if t < 1000 else [0.3, 0.6, 0.3],
    "bit by bit": lambda t: [0.8 - 0.6 * t / STEPS, 0.5, 0.2 + 0.6 * t / STEPS],
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_what_is_used_costs_at_most_half_of_what_it_costs_without_forgetting(name):
    ours = median_regret(Routing, CHANGES[name], range(7))

    assert ours <= median_regret(Forgetless, CHANGES[name], range(7)) / 2


def test_one_that_nobody_uses_and_that_became_better_is_found_by_and_by():
    """Fifty sessions a day: what is known of it fades, and it is tried again."""

    def better(step):
        return [0.6, 0.4, 0.3] if step < 1000 else [0.6, 0.4, 0.9]

    ours = median_regret(Routing, better, range(7), seconds=A_DAY / 50)

    assert ours <= median_regret(Forgetless, better, range(7)) / 1.5


def test_a_hundred_sessions_at_once_do_not_all_go_to_one_of_two_new_providers():
    chance = random.Random(1)
    arms = {"claude": Arm(), "codex": Arm()}

    chosen = [choose(arms, chance).provider for _ in range(100)]

    assert 30 < chosen.count("claude") < 70


# --- the numbers ---


def test_alpha_grows_by_the_reward_and_beta_by_the_rest():
    arm = Arm().learned(0.67).learned(0.2).learned(1).learned(0)

    assert (arm.alpha, arm.beta) == pytest.approx((2.87, 3.13))
    assert arm.expected_reward == pytest.approx(2.87 / 6)
    variance = 2.87 * 3.13 / (36 * 7)
    assert arm.confidence == pytest.approx(1 - math.sqrt(variance))


def test_a_new_arm_expects_one_half():
    assert Arm().expected_reward == 0.5
    assert Arm().confidence == pytest.approx(1 - math.sqrt(1 / 12))


def test_half_of_the_evidence_is_left_after_a_half_life_and_none_is_lost_at_once():
    arm = Arm()
    for _ in range(10):
        arm = arm.learned(1)

    assert arm.faded(0) == arm
    assert arm.faded(-5) == arm
    assert arm.faded(HALF_LIFE_SECONDS).evidence == pytest.approx(5)
    twice = arm.faded(HALF_LIFE_SECONDS / 2).faded(HALF_LIFE_SECONDS / 2)
    assert twice.evidence == pytest.approx(5)
    assert arm.faded(1000 * HALF_LIFE_SECONDS).evidence == pytest.approx(0)


def test_after_a_break_only_what_came_since_counts():
    arm = Arm()
    for _ in range(200):
        arm = arm.learned(1)
    rewards = 0
    while arm.evidence > 50:
        arm = arm.learned(0)
        rewards += 1

    assert rewards < 20
    assert arm.expected_reward < 0.8


def test_a_difference_that_is_too_small_is_no_change():
    arm = Arm()
    for _ in range(500):
        arm = arm.learned(0.9)
    for _ in range(500):
        arm = arm.learned(0.9 - CHANGE * 0.9)

    assert arm.evidence == pytest.approx(1000)


@pytest.mark.parametrize("reward", [0, 1, 0.5])
def test_however_long_it_learns_and_rests_the_posterior_stays_one(reward):
    arm = Arm()
    chance = random.Random(2)
    for _ in range(3000):
        arm = arm.learned(reward if chance.random() < 0.5 else chance.random())
        arm = arm.faded(chance.random() * A_DAY)

        assert arm.alpha >= 1
        assert arm.beta >= 1
        assert 0 <= arm.recent_weight <= arm.evidence + 1e-9


def test_whoever_was_not_expected_to_be_the_best_is_tried_to_explore():
    arms = {"claude": Arm(90, 10), "codex": Arm(1.5, 1.5)}
    chance = random.Random(3)

    choices = {choice.provider: choice for choice in (choose(arms, chance) for _ in range(500))}

    assert choices["claude"] == Choice("claude", 0.9, arms["claude"].confidence, explores=False)
    assert choices["codex"] == Choice("codex", 0.5, arms["codex"].confidence, explores=True)


def test_the_only_candidate_is_chosen():
    assert choose({"claude": Arm()}, random.Random(4)).provider == "claude"
