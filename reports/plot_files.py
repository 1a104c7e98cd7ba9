"""A plot as files: SVG beside the page; PDF and PNG for a paper."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

from reports import svg
from reports.plots import Plot, set_fonts, words_in
from reports.png import fonts_for
from reports.words import Words
from results.files import replace

PAPER_DPI = 300
PDF_STYLE: dict[Any, Any] = {"pdf.fonttype": 3}
"""Glyphs as outlines: of a collection of CJK fonts only the letters that are used are embedded."""
FORMATS: dict[str, dict[str, None]] = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
}
"""What a figure for a paper is written as, and what is left out of its metadata: the same plot gives the same bytes."""


def to_stderr(notice: str) -> None:
    print(notice, file=sys.stderr)


def write_svg(folder: Path, plot: Plot) -> None:
    """Write plots/<name>.svg."""
    replace(folder / "plots" / f"{plot.name}.svg", svg.document(plot.drawing, plot.name, plot.title).encode())


def write_plot(folder: Path, plot: Plot, words: Words, notice: Callable[[str], None]) -> None:
    """Write plots/<name>.svg and .png; without a font for all its letters no PNG, and ``notice`` is told why."""
    write_svg(folder, plot)
    path = folder / "plots" / f"{plot.name}.png"
    if without := _find_fonts(plot):
        path.unlink(missing_ok=True)  # an older one would not be of these records
        notice(words.say("png_skipped", plot=plot.name, glyphs=without[:12]))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    plot.figure.savefig(path, dpi=150, metadata={"Software": None})


def write_figure(folder: Path, plot: Plot, words: Words, notice: Callable[[str], None]) -> list[Path]:
    """Write <name>.pdf and <name>.png into ``folder``; return what was written.

    Without a font for all its letters nothing is written, and ``notice`` is told why.
    """
    if without := _find_fonts(plot):
        notice(words.say("figure_skipped", plot=plot.name, glyphs=without[:12]))
        return []
    made = []
    for suffix, metadata in FORMATS.items():
        content = io.BytesIO()
        with matplotlib.rc_context(PDF_STYLE):
            plot.figure.savefig(content, format=suffix, dpi=PAPER_DPI, metadata=metadata)
        made.append(folder / f"{plot.name}.{suffix}")
        replace(made[-1], content.getvalue())
    return made


def _find_fonts(plot: Plot) -> str:
    """Give the figure the fonts that its letters need; return the letters that no installed font has."""
    _ = plot.drawing  # laid out by the font that is the same everywhere, before others are put behind it
    fonts, without = fonts_for(words_in(plot.figure))
    set_fonts(plot.figure, fonts)
    return without
