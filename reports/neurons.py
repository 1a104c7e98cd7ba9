"""Where the neurons of each language lie: a map of blocks by languages and their totals, as plot, table and section."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from reports.claimed import Sentence
from reports.gathered import Gathered
from reports.palette import LIGHT
from reports.plot_files import to_stderr, write_plot
from reports.plots import MUTED, NAMES, Panel, Plot
from reports.section import Section, View
from reports.shown import Column, Table, number, text, value
from reports.words import Words, tagged_name
from results.files import replace

COLOUR = LIGHT["c1"]
"""One colour, thinned: on either page the strongest cell is the fullest."""
FAINTEST = 0.12
"""Of the cell with a single neuron."""


def write_neurons(
    folder: Path, counts: Mapping[str, Sequence[int]], model: str, notice: Callable[[str], None] = to_stderr
) -> None:
    """Write plots/neurons.svg, plots/neurons.png and tables/neurons.csv.

    ``counts``: language -> neurons in each block. ``notice`` is told why a PNG could not be drawn.
    """
    write_plot(folder, neurons_plot(counts, model), Words("en"), notice)
    table = neurons_table(counts).to_csv(index=False, lineterminator="\n")
    replace(folder / "tables" / "neurons.csv", table.encode())


def neurons_table(counts: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """One row for each language and block: language, block, neurons."""
    rows = [(language, block, count) for language, blocks in counts.items() for block, count in enumerate(blocks)]
    return pd.DataFrame(rows, columns=["language", "block", "neurons"])


def neurons_plot(counts: Mapping[str, Sequence[int]], model: str) -> Plot:
    """Two panels that share their rows, the languages: neurons in each block, and in all."""
    words = Words("en")
    return Plot("neurons", words.say("neurons_of", model=model), neurons_panels(counts, words))


def neurons_panels(counts: Mapping[str, Sequence[int]], words: Words, whose: str = "") -> list[Panel]:
    """``whose``: the variants that the panels speak of, where there are several."""
    height = 0.85 + 0.2 * max(3, len(counts))
    suffix = f" · {whose}" if whose else ""
    return [
        Panel(words["neurons_by_block"] + suffix, partial(_map, counts, words), height, left=NAMES),
        Panel(words["neurons_in_all"] + suffix, partial(_totals, counts, words), height, left=NAMES),
    ]


NOTE = "neurons_by_block"
"""The note in which a method keeps the counts: JSON, language -> one count a block, and what it keeps under KEPT."""
KEPT = "kept"
TOLD = ("kept", "split_half_overlap")
"""Notes that say in words what the map shows, and how far to trust it."""


def neurons(found: Gathered, words: Words) -> Section | None:
    """The map of every choice of neurons in the run; variants that chose alike stand together."""
    chosen: dict[str, list[str]] = {}
    told: dict[str, dict[str, str]] = {}
    for record in found.records:
        note, label = record.notes.get(NOTE, ""), found.labels[record.cell.variant.key]
        if note and label not in chosen.setdefault(note, []):
            chosen[note].append(label)
            told.setdefault(note, {}).update(record.notes)
    maps = {note: counts for note in chosen if (counts := counts_of(note)) is not None}
    if not maps:
        return None
    named = {note: ", ".join(chosen[note]) for note in maps}
    several = len(maps) > 1
    panels = [
        panel
        for note, counts in maps.items()
        for panel in neurons_panels(counts, words, named[note] if several else "")
    ]
    frame = pd.concat(
        [neurons_table(counts).assign(variant=named[note]) for note, counts in maps.items()], ignore_index=True
    )
    columns = (
        text(words["variant"], "variant"),
        Column(words["language"], lambda row, _: _row_name(row.language, words), False),
        value(words["neurons_block"], "block", lambda block: number(block, 0)),
        value(words["neurons_count"], "neurons", lambda count: number(count, 0)),
    )
    table = Table("neurons", "", frame[["variant", "language", "block", "neurons"]], columns, words)
    said = [
        Sentence(words.say(f"neurons_{name}", variants=named[note], note=told[note][name]))
        for note in maps
        for name in TOLD
        if name in told[note]
    ]
    plot = Plot("neurons", words["neurons"], panels)
    return Section("neurons", words["neurons"], said, [words["neurons_note"]], plot, [View(table)])


def counts_of(note: str) -> Mapping[str, list[int]] | None:
    """The counts in a note; None for anything else, for a record may be anyone's."""
    try:
        found = json.loads(note)
    except ValueError:
        return None
    if not isinstance(found, dict) or not found:
        return None
    for blocks in found.values():
        if not isinstance(blocks, list) or not blocks or not all(type(n) is int and n >= 0 for n in blocks):
            return None
    return found if len({len(blocks) for blocks in found.values()}) == 1 else None


def _map(counts: Mapping[str, Sequence[int]], words: Words, ax: Axes) -> None:
    most = max((max(blocks) for blocks in counts.values()), default=0)
    for row, blocks in enumerate(counts.values()):
        for block, count in enumerate(blocks):
            if count:
                alpha = FAINTEST + (1 - FAINTEST) * (count - 1) / max(1, most - 1)
                ax.add_patch(Rectangle((block - 0.5, row - 0.42), 1, 0.84, facecolor=COLOUR, alpha=alpha, linewidth=0))
    _languages(ax, counts, words)
    ax.set_xlim(-0.5, max(len(blocks) for blocks in counts.values()) - 0.5)
    ax.grid(visible=False)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.set_xlabel(words.say("neurons_fullest", most=f"{most:,}"))


def _totals(counts: Mapping[str, Sequence[int]], words: Words, ax: Axes) -> None:
    totals = [sum(blocks) for blocks in counts.values()]
    ax.barh(range(len(totals)), totals, height=0.5, color=COLOUR)
    for row, total in enumerate(totals):
        ax.text(total, row, f" {total:,}", va="center", fontsize=8, color=MUTED)
    _languages(ax, counts, words)
    ax.set_xlim(0, 1.2 * max(totals) or 1)
    ax.grid(visible=False, axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.set_xlabel(words["neurons_several"])


def _row_name(code: str, words: Words) -> str:
    return words["neurons_row_kept"] if code == KEPT else tagged_name(code)


def _languages(ax: Axes, counts: Mapping[str, Sequence[int]], words: Words) -> None:
    ax.set_yticks(range(len(counts)), [_row_name(code, words) for code in counts])
    ax.set_ylim(len(counts) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
