"""What pairwise judging will cost and can show, before a call is paid: sentences for a plan."""

from __future__ import annotations

from collections.abc import Sequence

from harness.plan import Plan
from harness.specs import SweepConfig
from results.power import WinRatePower, detection, sample_size, smallest_detectable, usual_winrate_power


def about_duels(
    questions: int,
    models: int,
    methods: int,
    languages: int,
    turns: int = 2,
    orders: int = 2,
    effects: Sequence[float] = (),
) -> list[str]:
    """Calls, half-widths and smallest effects of win rates against the original; and the fate of each given effect.

    ``effects``: differences between the win rates of two methods, in shares (0.036 is 3.6 points).
    """
    family = models * methods * languages
    alone = usual_winrate_power(questions, turns, orders, 1)
    together = usual_winrate_power(questions, turns, orders, family)
    calls = alone[0].calls
    low, high = alone
    between = [smallest_detectable(power.sd * 2**0.5, questions) for power in alone]
    return [
        f"{models} models x {methods} methods x {languages} languages are {family} win rates of {questions} questions, "
        f"{turns} turns and {orders} orders: {calls:,} judge calls each, {calls * family:,} in all.",
        f"A win rate is known to ±{_points(low.half_width)} to ±{_points(high.half_width)} points; the smallest "
        f"distance from 50% that is found four times in five is {_points(low.smallest)} to {_points(high.smallest)} "
        f"points for one rate, {_points(together[0].smallest)} to {_points(together[1].smallest)} for {family} "
        "at once (Holm).",
        f"Of two methods, the rates must differ by {_points(between[0])} to {_points(between[1])} points to be told "
        "apart four times in five; by less if they win and lose the same questions.",
        *(_fate(effect, low, high, family) for effect in effects),
    ]


def about_judging(config: SweepConfig, plan: Plan, effects: Sequence[float] = ()) -> list[str]:
    """The same for a sweep with a [judge] table; nothing for one without."""
    spec = config.judging
    cells = [cell for cell in plan.cells if cell.task == "answers"]
    questions = min((cell.limit or 0 for cell in cells), default=0)
    methods = {cell.variant.key for cell in cells if cell.variant.method != "none"}
    count = len(methods) // len(config.models)
    chosen = count if spec is None or spec.best is None else min(count, spec.best)
    if spec is None or questions < 2 or not chosen:
        return []
    languages = len({cell.language for cell in cells})
    pairs = chosen * (chosen - 1) // 2 if spec.duels else chosen
    told = about_duels(questions, len(config.models), pairs, languages, effects=effects)
    more = [f"{len(spec.judges)} judges on the panel: that many times the calls."] if len(spec.judges) > 1 else []
    if spec.aa and not spec.duels:
        alike = questions * 2 * languages * len(config.models) * (3 if spec.again else 1)
        more.append(f"Beside them {alike:,} judge calls show `none` against itself (aa = false leaves them out).")
    return [*told, *more]


def _fate(effect: float, low: WinRatePower, high: WinRatePower, family: int) -> str:
    """A difference of two rates has sqrt(2) times the spread of one, less what pairing by question takes off it."""
    spreads = [power.sd * 2**0.5 for power in (high, low)]
    n = low.questions
    one, all_of = ([detection(effect, sd, n, family=count) for sd in spreads] for count in (1, family))
    said = (
        f"{effect * 100:+.1f} points between two methods would be found with probability {one[0]:.2f} to {one[1]:.2f}, "
        f"{all_of[0]:.2f} to {all_of[1]:.2f} among {family}"
    )
    if one[1] >= 0.8:
        return f"{said}."
    need = [sample_size(sd, effect) for sd in reversed(spreads)]
    return f"{said}: not to be told from chance here; it takes {need[0]:,} to {need[1]:,} questions, fewer if paired."


def _points(share: float) -> str:
    return f"{100 * share:.1f}"
