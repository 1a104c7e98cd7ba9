"""What data can show: smallest detectable effects, the number of passages, items or questions an effect needs.

For plans only. After a run the largest effect not ruled out is told, never a power computed from what was found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from results.statistics import LEVEL

POWER = 0.8
TIES, CORRELATIONS = (0.3, 0.5), (0.0, 0.4)
"""Where nothing is known of a judge: the share of ties, and the correlation of a question's turns."""
MOST = 10_000_000
"""Where `sample_size` stops looking."""


def smallest_detectable(sd: float, n: int, level: float = LEVEL, power: float = POWER, family: int = 1) -> float:
    """The effect found with probability ``power`` among ``n`` clusters of standard deviation ``sd``.

    (t(1 - alpha/2) + t(power)) SD / sqrt(n); ``family`` comparisons at once divide alpha, as Holm's first step does.
    """
    if n < 2:
        raise ValueError(f"{n} clusters detect no effect of any size; at least 2 are needed")
    alpha = (1 - level) / family
    return float(stats.t.ppf(1 - alpha / 2, n - 1) + stats.t.ppf(power, n - 1)) * sd / math.sqrt(n)


def sample_size(sd: float, effect: float, level: float = LEVEL, power: float = POWER, family: int = 1) -> int:
    """The fewest clusters whose `smallest_detectable` is at most ``effect``.

    Raises ValueError for an effect of 0, which no number of clusters finds, and for one beyond ten million.
    """
    effect = abs(effect)
    if effect == 0:
        raise ValueError("an effect of 0 is found by no number of clusters")
    low, high = 1, 2  # low is too few, high is enough
    while smallest_detectable(sd, high, level, power, family) > effect:
        low, high = high, 2 * high
        if high > MOST:
            raise ValueError(
                f"an effect of {effect:g} with a standard deviation of {sd:g} needs over {MOST:,} clusters"
            )
    while high - low > 1:
        middle = (low + high) // 2
        enough = smallest_detectable(sd, middle, level, power, family) <= effect
        low, high = (low, middle) if enough else (middle, high)
    return high


def detection(effect: float, sd: float, n: int, level: float = LEVEL, family: int = 1) -> float:
    """The probability that a two-sided t test finds ``effect`` among ``n`` clusters (noncentral t)."""
    if n < 2:
        raise ValueError(f"{n} clusters detect no effect of any size; at least 2 are needed")
    if sd == 0:
        return float(effect != 0)
    critical = float(stats.t.ppf(1 - (1 - level) / family / 2, n - 1))
    shift = effect * math.sqrt(n) / sd
    return float(stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift))


@dataclass(frozen=True)
class WinRatePower:
    """What pairwise judging of so many questions can show; rates and effects are shares, 0.036 is 3.6 points."""

    questions: int
    calls: int
    """Judge calls for one pair of models: questions x turns x orders."""
    sd: float
    """Of a question's score."""
    half_width: float
    """Of the two-sided interval around a rate of 1/2."""
    smallest: float
    """The smallest detectable distance from 1/2."""
    level: float
    family: int

    def detection(self, effect: float) -> float:
        """The probability of establishing a rate of 1/2 + ``effect``."""
        return detection(effect, self.sd, self.questions, self.level, self.family)


def winrate_power(
    questions: int,
    turns: int = 2,
    orders: int = 2,
    ties: float = 0.4,
    consistency: float = 0.8,
    turn_correlation: float = 0.2,
    level: float = LEVEL,
    power: float = POWER,
    family: int = 1,
) -> WinRatePower:
    """The power of a win rate by question, by the variance of a score in {1, 1/2, 0} near an even match.

    ``ties``: share of games the judge calls a tie; ``consistency``: share of the others on which both orders agree
    (those that do not average to 1/2); so a turn is decided with probability d = consistency (1 - ties), and

        Var(question) = d/4 (1 + (turns - 1) rho)/turns        rho: the correlation between a question's turns

    With one order every game that is no tie decides, and the judge's position bias stays in the rate: d = 1 - ties.
    Where nothing is known of a judge, take the range over ties .3 to .5 and rho 0 to .4.
    """
    shares = {"ties": ties, "consistency": consistency, "turn_correlation": turn_correlation}
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}, and it is a share from 0 to 1")
    if min(questions - 1, turns, orders) < 1 or orders > 2:
        raise ValueError(
            f"{questions} questions of {turns} turns in {orders} orders cannot be judged: at least 2 questions, "
            "1 turn, and 1 or 2 orders"
        )
    decided = (1 - ties) * (consistency if orders == 2 else 1.0)
    sd = math.sqrt(decided / 4 * (1 + (turns - 1) * turn_correlation) / turns)
    alpha = (1 - level) / family
    return WinRatePower(
        questions=questions,
        calls=questions * turns * orders,
        sd=sd,
        half_width=float(stats.t.ppf(1 - alpha / 2, questions - 1)) * sd / math.sqrt(questions),
        smallest=smallest_detectable(sd, questions, level, power, family) if sd else 0.0,
        level=level,
        family=family,
    )


def usual_winrate_power(
    questions: int, turns: int = 2, orders: int = 2, family: int = 1
) -> tuple[WinRatePower, WinRatePower]:
    """The sharpest and the bluntest case of what is usual."""
    found = [
        winrate_power(questions, turns, orders, ties=ties, turn_correlation=rho, family=family)
        for ties in TIES
        for rho in CORRELATIONS
    ]
    found.sort(key=lambda power: power.sd)
    return found[0], found[-1]
