"""A card for each variant: settings, bytes by part, best and worst language, time and memory, untouched layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from reports.claimed import first_setting
from reports.gathered import Gathered
from reports.plots import PARTS
from reports.section import Bar, Card, Section
from reports.shown import is_missing, megabytes, number, with_interval
from reports.speed import speeds
from reports.words import Words, tagged_name
from results.cell import Variant
from results.record import Record

FAILED = ("failed", "skipped")
LOSSES = ("extra_bits", "log_ratio")
"""What a variant lost, by preference: a protocol that keeps no sentences has only the second."""


def cards(found: Gathered, words: Words) -> Section | None:
    """Folded, a line each, so that sixty variants are sixty lines."""
    if not len(found.variants):
        return None
    of: dict[str, list[Record]] = {}
    for record in found.records:
        of.setdefault(record.cell.variant.key, []).append(record)
    sizes = found.footprint.dropna(subset=["total_bytes"]).drop_duplicates("key").set_index("key")
    memory = _memory(found)
    shared = _shared_notes(of)
    made = []
    for key, records in of.items():
        variant, label = records[0].cell.variant, found.labels[key]
        size = sizes.loc[key] if key in sizes.index else None
        lost = _lost(found, key)
        line = [*_size_words(size, words), *_languages(lost, words)[-1:], *_unmeasured(records, words)]
        facts = [
            *_settings(variant, words),
            *([(words["card_bytes"], _bytes(size, words))] if size is not None else []),
            *zip((words["card_best"], words["card_worst"]), _languages(lost, words), strict=False),
            *_time_and_memory(records, memory.get(key, ()), words),
            *_said(records, shared, words),
        ]
        widest = sizes["total_bytes"].max()
        bars = list(_bars(size, widest)) if size is not None else []
        said = words.say("card_bar", parts=_bytes(size, words)) if bars else ""
        made.append(Card(label, " · ".join(line), facts, found.marks.get(label), bars, said))
    parts = [part for part in PARTS if len(sizes) and sizes[part].fillna(0).gt(0).any()]
    legend = [(words[part], PARTS[part]) for part in parts]
    return Section("cards", words["cards"], paragraphs=[words["cards_note"]], cards=made, legend=legend)


def _size_words(size: Any, words: Words) -> list[str]:
    if size is None:
        return []
    bits = (
        [] if is_missing(size["bits_per_weight"]) else [words.say("card_bits", bits=number(size["bits_per_weight"], 2))]
    )
    return [f"{megabytes(size['total_bytes'])} MB", *bits]


def _bytes(size: Any, words: Words) -> str:
    parts = [f"{words[part]} {megabytes(size[part])} MB" for part in PARTS if not is_missing(size[part]) and size[part]]
    return f"{megabytes(size['total_bytes'])} MB = {' + '.join(parts)}" if parts else f"{size['total_bytes']:,.0f}"


def _bars(size: Any, widest: float) -> Iterator[Bar]:
    start = 0.0
    for part, role in PARTS.items():
        if not is_missing(size[part]) and size[part] > 0:
            width = round(100 * size[part] / widest, 2)
            yield Bar(role, round(start, 2), width)
            start += width


def _lost(found: Gathered, key: str) -> pd.DataFrame:
    """What this artifact lost in each language of the first setting, the least first; empty where nothing is known."""
    rows = first_setting(found.changes)
    rows = rows[(rows["key"] == key) & (rows["draws"] == 1)]
    name = next((name for name in LOSSES if rows[name].notna().any()), None)
    if name is None:
        return rows.iloc[:0]
    columns = {name: "lost", f"{name}_low": "lost_low", f"{name}_high": "lost_high"}
    return rows.rename(columns=columns).assign(measure=name).dropna(subset=["lost"]).sort_values("lost", kind="stable")


def _languages(lost: pd.DataFrame, words: Words) -> list[str]:
    """(best, worst) in words; one where there is one language, none where nothing is known."""
    rows = list(lost.itertuples())
    return [_change(rows[place], words) for place in dict.fromkeys([0, len(rows) - 1]) if rows]


def _change(row: Any, words: Words) -> str:
    told = with_interval(row.lost, row.lost_low, row.lost_high, words["not measured"], signed=True)
    open_ = "" if row.established else f" ({words['not established']})"
    return words.say(f"card_{row.measure}", language=tagged_name(row.language), value=told) + open_


def _unmeasured(records: Sequence[Record], words: Words) -> list[str]:
    counts = {status: sum(record.status == status for record in records) for status in FAILED}
    return [words.say("card_cells", count=count, status=words[status]) for status, count in counts.items() if count]


def _settings(variant: Variant, words: Words) -> list[tuple[str, str]]:
    params = ", ".join(f"{name}={value}" for name, value in variant.params.items())
    facts = [(words["method"], variant.method), (words["params"], params or "–")]
    if variant.calibration is not None:
        draw = words.say("card_draw", draw=variant.draw)
        facts.append((words["calibration"], f"{variant.calibration_label or variant.calibration}, {draw}"))
    return facts


def _time_and_memory(records: Sequence[Record], peaks: Sequence[float], words: Words) -> list[tuple[str, str]]:
    spent: dict[str, float] = {}
    for record in records:
        for phase, seconds in record.seconds.items():
            spent[phase] = spent.get(phase, 0.0) + seconds
    facts = []
    if "compress" in spent:
        shown = {"compress": number(spent["compress"], 1), "rest": number(sum(spent.values()) - spent["compress"], 1)}
        facts.append((words["card_seconds"], words.say("card_spent", **shown)))
    if len(peaks):
        facts.append((words["card_memory"], f"{megabytes(max(peaks))} MB"))
    return facts


def _memory(found: Gathered) -> dict[str, list[float]]:
    rows = speeds(found)
    known = rows.dropna(subset=["peak_memory"]) if len(rows) else rows
    return {str(key): list(of["peak_memory"]) for key, of in known.groupby("key")} if len(known) else {}


def _shared_notes(of: Mapping[str, Sequence[Record]]) -> set[tuple[str, str]]:
    """(name, text) of the notes that every variant's footprint has alike: they tell nothing of one of them."""
    told = [set(record.notes.items()) for records in of.values() for record in records if record.cell.task == WEIGHED]
    return set.intersection(*told) if len(told) > 1 else set()


WEIGHED = "footprint"
HIDDEN = ("origin", "base_bytes", "quantized_weights", "neurons_by_block")
"""Notes that other sections tell."""


def _said(records: Sequence[Record], shared: set[tuple[str, str]], words: Words) -> list[tuple[str, str]]:
    """The notes on how this artifact was made."""
    notes = {name: text for record in records if record.cell.task == WEIGHED for name, text in record.notes.items()}
    untouched = notes.pop("untouched", None)
    facts = [(words["card_untouched"], untouched)] if untouched else []
    return facts + [
        (name.replace("_", " "), text)
        for name, text in notes.items()
        if (name, text) not in shared and name not in HIDDEN
    ]
