"""The section on answers that need no judge: wrong language, mixed script, loops, cut-off and empty answers."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reports import tables
from reports.gathered import Gathered
from reports.plots import INK, NAMES, PAGE, Panel, Plot
from reports.section import Section, View, key
from reports.shown import Table, estimate, is_missing, language, share, text
from reports.words import Words, tagged_name
from results.again import answered_again

RATES = ("wrong_language", "mixed_script", "looped", "truncated", "empty")


def answered(found: Gathered, words: Words) -> Section | None:
    twice = answered_again(found.records)
    once = [record for record in found.records if record.cell.key not in twice]
    rows = tables.task_table(once, found.labels, "answers", (*RATES, "tokens_per_answer"))
    if rows.empty:
        return None
    several = rows["reading"].nunique() > 1
    table = Table(
        "answered",
        "",
        rows,
        (
            text(words["variant"], "variant"),
            language(words["language"]),
            *([text(words["setting"], "reading")] if several else []),
            *(share(words[f"share_{name}"], name) for name in RATES),
            estimate(words["tokens_per_answer"], "tokens_per_answer"),
        ),
        words,
    )
    shown = [name for name in RATES if rows[name].gt(0).any()]
    plot = Plot("answered", words["answered"], _panels(rows, shown, found, words), key(found, rows)) if shown else None
    note = words.say("answered_note", level=found.level)
    return Section("answered", words["answered"], (), [note], plot, [View(table, open=not plot)])


def _panels(rows: pd.DataFrame, shown: list[str], found: Gathered, words: Words) -> list[Panel]:
    """One panel a rate that is not 0 everywhere, one row a language, one mark a variant."""
    languages = list(dict.fromkeys(rows["language"]))
    variants = list(dict.fromkeys(rows["variant"]))
    step = 0.7 / max(1, len(variants))
    panels = []
    for name in shown:

        def draw(ax: Axes, name: str = name) -> None:
            told: list[Any] = list(rows.dropna(subset=[name]).itertuples())
            for row in told:
                place = languages.index(row.language) + (variants.index(row.variant) - (len(variants) - 1) / 2) * step
                mark, share = found.marks[row.variant], getattr(row, name)
                low, high = (getattr(row, f"{name}{end}") for end in ("_low", "_high"))
                if not is_missing(low) and not is_missing(high):
                    ax.plot((100 * low, 100 * high), (place, place), color=mark.colour, lw=1.1)
                ax.plot([100 * share], [place], ls="none", marker=mark.shape, ms=5.5, color=mark.colour, mec=PAGE)
            ax.axvline(0, color=INK, lw=0.9, zorder=0)
            ax.set_yticks(range(len(languages)), [tagged_name(code) for code in languages])
            ax.set_ylim(len(languages) - 0.4, -0.6)
            ax.tick_params(axis="y", length=0)
            ax.set_xlim(-3, 103)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.set_xlabel(words["percent_of_answers"])

        height = 0.85 + max(0.26, 0.13 * len(variants)) * len(languages)
        panels.append(Panel(words[f"share_{name}"], draw, height=height, left=NAMES))
    return panels
