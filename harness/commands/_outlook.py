"""What `plan` says beyond its cells: seconds and disk a sweep will take, what it can show, and what to change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.commands._text import columns, megabytes
from harness.detectable import KINDS, Power, about_items, powers, suggestions
from harness.duelpower import about_judging
from harness.facts import World, test_passages
from harness.forecast import Forecast, duration, forecast
from harness.history import SPEEDS, SPREADS, folder_bytes, recall, text_sizes
from harness.plan import Plan
from harness.specs import SweepConfig
from results.power import POWER


@dataclass(frozen=True)
class Outlook:
    forecast: Forecast
    powers: tuple[Power, ...]
    advice: tuple[str, ...]
    """What the sweep cannot show, and what to change: one sentence each."""


def look_ahead(
    config: SweepConfig,
    plan: Plan,
    world: World,
    done: Collection[str],
    made: Collection[str],
    cache: Path,
    effects: Sequence[float] = (),
) -> Outlook:
    """Forecast a plan by what earlier sweeps left in the cache. Reads no model.

    ``effects``: differences between two methods' win rates, in shares, whose fate is asked for.
    """
    originals = {name: folder_bytes(found.source.folder) for name, found in world.models.items()}
    cost = forecast(plan, done, made, recall(cache / SPEEDS), text_sizes(world.texts), originals)
    found = powers(config, plan, world.texts, recall(cache / SPREADS))
    advice = [
        *about_items(config, plan),
        *about_judging(config, plan, effects),
        *suggestions(config, plan, world.texts, found, _available(config)),
    ]
    return Outlook(cost, tuple(found), tuple(advice))


def _available(config: SweepConfig) -> int | None:
    """How many passages the sweep's perplexity text has, beyond its limit; the fewest over languages."""
    task = next((task for task in config.tasks if task.name == "perplexity"), None)
    if task is None:
        return None
    whole = replace(config, limit=None)
    return min(len(test_passages(whole, task, language)) for language in config.languages)


def shown(outlook: Outlook) -> str:
    """Plain text; empty where nothing is left to do and nothing can be said."""
    parts = [*_costs(outlook.forecast), *_powers(outlook.powers)]
    if outlook.advice:
        parts.append("\n".join(f"- {sentence}" for sentence in outlook.advice))
    return "\n\n".join(parts)


def _costs(cost: Forecast) -> list[str]:
    if not cost.seconds and not cost.unknown:
        return []
    most = "at most " if any(one.is_most for one in cost.costs.values()) else ""
    known = f"about {duration(cost.seconds)}" if cost.seconds else "unknown until the first variant"
    lines = [f"forecast: {known}; {most}{megabytes(cost.bytes)} more in the cache"]
    if cost.unknown and cost.seconds:
        listed = ", ".join(f"{name} ({count})" for name, count in cost.unknown.items())
        lines.append(f"not in it, for it was never measured on this model, dtype and device: {listed}")
    return ["\n".join(lines)]


def _powers(found: Collection[Power]) -> list[str]:
    if not found:
        return []
    several = len({power.model for power in found}) > 1
    rows: dict[tuple[object, ...], list[str]] = {}
    for power in found:  # bit widths of which the same can be said, as where nothing is known, share a row
        model = [power.model] if several else []
        said = (*model, KINDS[power.kind], power.passages, power.family, _smallest(power))
        rows.setdefault(said, []).append(power.width)
    header = [*(["model"] if several else []), "comparison", "passages", "languages", "smallest it would find", "width"]
    title = f"what it can show, extra bits per sentence ({POWER:.0%} power at 5%, Holm over the languages):"
    return [f"{title}\n{columns(header, [[*said, ' '.join(widths)] for said, widths in rows.items()])}"]


def _smallest(power: Power) -> str:
    if power.passages < 2:
        return "nothing: one passage tells nothing of the spread"
    if not power.smallest:
        return f"{power.in_sd:.2f} SD; in bits unknown until the first variant"
    ordered = sorted(power.smallest.items(), key=lambda item: item[1])
    ends = dict.fromkeys((ordered[0], ordered[-1]))
    return " to ".join(f"{value:.2g} ({code})" for code, value in ends)


def to_json(outlook: Outlook) -> dict[str, Any]:
    cost = outlook.forecast
    return {
        "seconds": round(cost.seconds, 1),
        "unknown": cost.unknown,
        "bytes": cost.bytes,
        "variants": {key: asdict(one) for key, one in cost.costs.items()},
        "powers": [asdict(power) for power in outlook.powers],
        "advice": list(outlook.advice),
    }
