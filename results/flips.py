"""Which answers changed between two variants, item by item: equal accuracies hide answers that flip both ways.

lost      right under the reference, wrong now          moved    wrong both times, but another choice
gained    wrong under the reference, right now          The four gross counts; their net is the change of accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from results.estimate import Sample

Way = Literal["lost", "gained", "moved"]


@dataclass(frozen=True)
class Turned:
    """One answer that is not what it was. Choices count from 0; None where the item has none, or nobody knows."""

    item: str
    """Content hash."""
    group: str
    """Alignment id, the same in every language."""
    way: Way
    choices: int | None
    gold: int | None
    """A right choice, as far as the two answers tell."""
    was: int | None
    now: int | None
    margin_was: float | None
    """ln p(right choice) - ln p(best other), nats (per byte: nats per byte), under the reference."""
    margin_now: float | None


@dataclass(frozen=True)
class Flips:
    items: int
    """Answered by both."""
    lost: int
    gained: int
    moved: int
    """0 where the items have no choices."""
    margin_changes: Mapping[str, float]
    """Sample id -> change of the margin in nats (per byte: nats per byte); empty where the items have no choices."""
    unmatched: int
    """Items that only one of the two answered."""
    turned: tuple[Turned, ...] = field(default=(), compare=False)
    """The answers that changed, in the order of the reference."""

    @property
    def changed(self) -> int:
        """How many answers are not what they were."""
        return self.lost + self.gained + self.moved


def flips(reference: Sequence[Sample], samples: Sequence[Sample], per_byte: bool = False) -> Flips:
    """Compare two variants' samples of task `zeroshot`, paired by item id.

    ``per_byte``: of the choice most likely per byte, not of the most likely one. Raises ValueError for samples that
    tell neither right nor wrong, and for two of one id.
    """
    ending = "_per_byte" if per_byte else ""
    before, after = (_by_id(side, f"correct{ending}") for side in (reference, samples))
    both = [name for name in before if name in after]
    turned = []
    margins = {}
    for name in both:
        old, new = before[name].quantities, after[name].quantities
        was, now = old[f"correct{ending}"], new[f"correct{ending}"]
        choice, margin = f"choice{ending}", f"margin{ending}"
        if margin in old and margin in new:
            margins[name] = new[margin] - old[margin]
        has_moved = was == now == 0 and choice in old and old[choice] != new.get(choice)
        if was == now and not has_moved:
            continue
        choices = (_whole(old.get("choices")), _whole(old.get(choice)), _whole(new.get(choice)))
        way: Way = "lost" if was > now else "gained" if now > was else "moved"
        sides = (choices[1], choices[2], old.get(margin), new.get(margin))
        turned.append(Turned(name, before[name].group, way, choices[0], _gold(way, *choices), *sides))
    ways = [one.way for one in turned]
    counts = (ways.count("lost"), ways.count("gained"), ways.count("moved"))
    return Flips(len(both), *counts, margins, len(before) + len(after) - 2 * len(both), tuple(turned))


def _gold(way: Way, choices: int | None, was: int | None, now: int | None) -> int | None:
    """The choice of whoever was right; of three choices, of which two were taken wrongly, the third."""
    if way == "lost":
        return was
    if way == "gained":
        return now
    return 3 - was - now if choices == 3 and was is not None and now is not None else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _by_id(samples: Sequence[Sample], needed: str) -> dict[str, Sample]:
    found: dict[str, Sample] = {}
    for sample in samples:
        if needed not in sample.quantities:
            raise ValueError(f"sample {sample.id} has no '{needed}': it is not of an item that is right or wrong")
        if sample.id in found:
            raise ValueError(f"two samples have the id {sample.id}")
        found[sample.id] = sample
    return found
