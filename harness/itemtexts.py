"""The texts of the items that a sweep asks, as passages: so calibration text that holds some of them is noticed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.overlap import long_enough
from harness.passages import Passage, passage
from harness.problems import Unavailable
from harness.tasks import all_tasks

if TYPE_CHECKING:
    from harness.items import ItemTask
    from harness.specs import SweepConfig


def item_texts(config: SweepConfig) -> dict[str, tuple[Passage, ...]]:
    """Fingerprint of a task's items -> every string of the first of them, as many as are asked; an item is a group.

    Strings of a few words are left out, for they say nothing: names, labels, short choices. So is a task that cannot be
    loaded: its cells will tell why.
    """
    from harness.items import families

    most: dict[str, tuple[ItemTask, int | None]] = {}
    for spec in (spec for spec in config.tasks if all_tasks()[spec.name].asks_items):
        limit = config.limit if spec.params["limit"] is None else int(spec.params["limit"])
        for language in config.languages:
            for item in families(str(spec.params["tasks"]), str(spec.params["include_path"]), language):
                _, before = most.get(item.fingerprint, (item, 0))
                most[item.fingerprint] = (item, None if limit is None or before is None else max(limit, before))
    return {fingerprint: _texts(item, limit) for fingerprint, (item, limit) in most.items()}


def _texts(item: ItemTask, limit: int | None) -> tuple[Passage, ...]:
    from harness.lmtasks import load

    try:
        docs = itertools.islice(load(item).eval_docs, limit)
        return tuple(
            each
            for number, doc in enumerate(docs, start=1)
            for text in _strings(doc)
            if long_enough(each := passage(text, f"item {number}", item.language))
        )
    except (Unavailable, ValueError):
        return ()


def _strings(value: Any) -> Iterator[str]:
    """Every string inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for inner in value:
            yield from _strings(inner)
