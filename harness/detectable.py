"""What a sweep can show: the smallest effect each comparison would find, and what to change if that is too large.

Spreads come from earlier runs of the same model at the same bit width. Without them the smallest effect is known in
standard deviations only, and in bits "unknown until the first variant".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.history import Table, width
from harness.passages import Passage
from harness.plan import Plan, is_second
from harness.specs import SweepConfig
from results.items import fewest_discordant
from results.power import sample_size, smallest_detectable

AGAINST = "en"
KINDS = {
    "loss": "what a language loses",
    "gap": "how much more than English",
    "versus": "method against method",
}
NOTHING = 100
"""An effect under a hundredth of a standard deviation is not worth looking for: it takes 80,000 passages."""
FLIPS = 0.1
"""Share of answers that flip, where nothing is known: what 4-bit weights do to a small model."""
FEW = 10
"""Passages under which intervals rest on the assumption of normal differences."""


@dataclass(frozen=True)
class Power:
    """One kind of comparison at one bit width, over its languages; bits per sentence."""

    model: str
    kind: str
    """``loss``, ``gap`` or ``versus``."""
    width: str
    passages: int
    family: int
    """Languages that Holm corrects for."""
    in_sd: float
    """The smallest detectable effect in standard deviations over passages."""
    smallest: Mapping[str, float]
    """Language -> the smallest detectable effect; empty where no spread is known."""
    needed: Mapping[str, int]
    """Language -> passages it takes to find again what an earlier run found there, where more than are read."""


def powers(config: SweepConfig, plan: Plan, texts: Mapping[str, tuple[Passage, ...]], spreads: Table) -> list[Power]:
    """Every kind of comparison at every bit width that the sweep makes, in the first text it reads whole."""
    counts = _passages(config, plan, texts)
    if not counts:
        return []
    gaps = [code for code in counts if code != AGAINST] if AGAINST in counts else []
    found = []
    for model, widths in _widths(plan).items():
        for name, (weights, methods) in widths.items():
            known = spreads.get(weights, {})
            for kind, languages in (("loss", list(counts)), ("gap", gaps), ("versus", list(counts) * (methods > 1))):
                if languages:
                    found.append(_power(model, kind, name, {code: counts[code] for code in languages}, known))
    return found


def _power(model: str, kind: str, name: str, counts: Mapping[str, int], known: Mapping[str, list[float]]) -> Power:
    n, family = min(counts.values()), len(counts)
    smallest, needed = {}, {}
    for code in counts:
        if n < 2 or f"{kind} {name} {code}" not in known:
            continue
        sd, _, value = known[f"{kind} {name} {code}"]
        smallest[code] = smallest_detectable(sd, n, family=family)
        if sd / NOTHING <= abs(value) < smallest[code]:
            needed[code] = sample_size(sd, value, family=family)
    in_sd = smallest_detectable(1.0, n, family=family) if n > 1 else float("inf")
    return Power(model, kind, name, n, family, in_sd, smallest, needed)


def about_items(config: SweepConfig, plan: Plan) -> list[str]:
    """What the items of each lm-eval task can show, where their number is known: one sentence a task."""
    counts = {
        str(cell.params["tasks"]): cell.limit
        for cell in plan.cells
        if "tasks" in cell.params and cell.limit is not None and cell.limit > 1 and not is_second(cell)
    }
    family = len(config.languages)
    found = []
    for name, n in counts.items():
        points = 100 * smallest_detectable(FLIPS**0.5, n, family=family)
        found.append(
            f"{name}, {n} items a language: accuracy must change by {points:.0f} points to be seen ({FLIPS:.0%} of "
            f"answers flipping, {family} languages), and {fewest_discordant(family)} answers must flip one way; "
            "margins show more."
        )
    return found


def suggestions(
    config: SweepConfig,
    plan: Plan,
    texts: Mapping[str, tuple[Passage, ...]],
    found: list[Power],
    available: int | None = None,
) -> list[str]:
    """What to change where the sweep cannot answer its own question. ``available``: passages the corpus has."""
    counts = _passages(config, plan, texts)
    if not counts:
        return []
    return [
        *_about_languages(config, plan, texts),
        *_about_passages(min(counts.values()), found, available),
        *_about_draws(config, plan),
    ]


def _about_languages(config: SweepConfig, plan: Plan, texts: Mapping[str, tuple[Passage, ...]]) -> Iterator[str]:
    read = _first_texts(config, plan)
    if AGAINST not in read:
        yield f"No language gap can be told without English: add it, --languages {AGAINST},{','.join(read)}."
        return
    if len(read) == 1:
        yield "No language gap can be told of English alone: add a language, as in --languages en,ko."
    groups = {code: {passage.group for passage in texts[text]} for code, text in read.items() if text in texts}
    apart = [code for code, of in groups.items() if not of & groups.get(AGAINST, set())]
    if apart:
        yield (
            f"No gap can be told for {', '.join(apart)}: its passages are not translations of English's. Name a "
            "parallel corpus (docs/texts.md): pairing by passage is what makes small gaps visible."
        )


def _about_passages(n: int, found: list[Power], available: int | None) -> Iterator[str]:
    if n < FEW:
        more = f"--limit {min(available or FEW, 16)}" if not available or available > n else "a longer corpus"
        yield f"{n} passages give wide intervals that rest on normal differences; at least {FEW} are better: {more}."
    for power in found:
        if not power.needed:
            continue
        code, needed = max(power.needed.items(), key=lambda item: item[1])
        if available is not None and needed > available:
            remedy = f"the corpus has {available}, so name a longer one (docs/texts.md)"
        else:
            remedy = f"--limit {needed}"
        yield (
            f"{power.width}, {KINDS[power.kind]}: what an earlier run found in {len(power.needed)} of {power.family} "
            f"languages is smaller than {power.passages} passages show; {code} takes {needed:,}: {remedy}."
        )


def _about_draws(config: SweepConfig, plan: Plan) -> Iterator[str]:
    calibrated = {it.variant.method for it in plan.variants if it.calibration is not None}
    if calibrated and config.draws == 1:
        yield (
            "One calibration draw: what is found holds for these artifacts, not for the methods; --draws 3 lets the "
            "methods be compared."
        )


def _first_texts(config: SweepConfig, plan: Plan) -> dict[str, str]:
    """Language -> fingerprint of the first text that is read passage by passage."""
    found: dict[str, str] = {}
    for cell in plan.cells:
        if cell.task == "perplexity" and cell.params.get("protocol") == "rolling":
            found.setdefault(cell.language, cell.text)
    return {code: found[code] for code in config.languages if code in found}


def _passages(config: SweepConfig, plan: Plan, texts: Mapping[str, tuple[Passage, ...]]) -> dict[str, int]:
    return {code: len(texts[text]) for code, text in _first_texts(config, plan).items() if text in texts}


def _widths(plan: Plan) -> dict[str, dict[str, tuple[str, int]]]:
    """Model -> bit width -> (digest of its weights, how many variants have it, draws not counted)."""
    found: dict[str, dict[str, tuple[str, int]]] = {}
    for planned in plan.variants:
        variant = planned.variant
        if variant.method == "none" or planned.draw > 0:
            continue
        widths = found.setdefault(variant.model, {})
        _, count = widths.get(width(variant), ("", 0))
        widths[width(variant)] = (variant.weights, count + 1)
    return found
