"""A run folder in, one self-contained page out, with its plots and tables as files beside it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup, escape

from reports import svg
from reports.duels import duels
from reports.flips import flips
from reports.gathered import gather
from reports.page import Page, page
from reports.palette import Mark
from reports.plot_files import to_stderr, write_figure, write_svg
from reports.section import Section
from reports.shown import Table
from reports.terminal import markdown
from reports.words import Words
from results.claims import make_claims
from results.files import file_digest, replace
from results.store import RECORDS, Run

TEMPLATES = Path(__file__).parent / "templates"
SQUARE = "M1 1h10v10h-10z"


def write_report(
    run_folder: str | Path,
    lang: str = "en",
    notice: Callable[[str], None] = to_stderr,
    figures: Path | None = None,
) -> Path:
    """Write report.html, summary.md, plots/*.svg and tables/*.csv into the run folder; return the page.

    The same records give the same bytes. ``figures``: a folder for each plot as PDF and PNG, for papers. ``notice`` is
    told which of those could not be drawn, for want of a font. Raises ValueError for a language without words, and what
    ``Run.open`` raises.
    """
    words = Words(lang)
    folder = Path(run_folder)
    records = file_digest(folder / RECORDS)  # before they are read: the page has no fewer than it says
    run = Run.open(folder)
    claims = make_claims(run)
    gathered = gather(run, claims, words)
    content = page(gathered, words, duels(run, words), flips(gathered, words))
    for section in content.sections:
        if section.plot:
            write_svg(folder, section.plot)
        if section.plot and figures:
            write_figure(figures, section.plot, words, notice)
        for view in section.tables:
            write_csv(folder, view.table)
    replace(folder / "summary.md", markdown(gathered, content, words).encode())
    path = folder / "report.html"
    replace(path, render(content, words, records=records).encode())
    return path


def render(content: Page, words: Words, running: str = "", records: str | None = None) -> str:
    """The page as HTML; every word in it that is not ours is escaped.

    ``running``: how far a run is that goes on. ``records``: digest of the records that a finished page is made of.
    """
    styles = svg.Styles()
    sections = [_drawn(section, styles) for section in content.sections]
    sheet = "\n".join(
        [
            *svg.scheme_rules(),
            f":root{{--fonts:{svg.FONTS}}}",
            (TEMPLATES / "style.css").read_text(encoding="utf-8"),
            *(f".{role}{{fill:var(--{role})}}" for role in svg.LIGHT),
            *styles.rules(),
        ]
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    environment.filters["packed"] = _packed
    has_reader = any(section.reader for section in content.sections)
    script = (TEMPLATES / "reader.js").read_text(encoding="utf-8") if has_reader else ""
    html = environment.get_template("report.html").render(
        words=words,
        style=Markup(sheet),  # ours alone: no word of a record enters a style
        style_hash=_hash(sheet),
        script=Markup(script),  # as it is: all that it shows is data
        script_hash=_hash(script),
        models=content.models,
        lead=content.lead,
        sections=sections,
        square=SQUARE,
        running=running,
        records=records,
    )
    # Control characters are no text and would make the page invalid; a hostile name may hold them.
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", html)


def _code(text: str) -> Markup:
    """Escaped text with `backticks` as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _packed(text: str) -> Markup:
    """Base64 as it is. Raises ValueError for anything else."""
    if not re.fullmatch(r"[A-Za-z0-9+/=]*", text):
        raise ValueError("packed data is base64, and this is not")
    return Markup(text)


def _hash(text: str) -> Markup:
    """As a Content-Security-Policy names a style or script that it allows."""
    return Markup("sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())


class Key(NamedTuple):
    word: str
    role: str
    path: str


class Drawn(NamedTuple):
    """A plot as the template takes it."""

    key: list[Key]
    panels: list[Markup]


def _drawn(section: Section, styles: svg.Styles) -> dict[str, Any]:
    plot, shown = section.plot, None
    if plot:
        said = [f"{plot.title}: {panel.title}" for panel in plot.panels]
        panels = svg.parts(plot.drawing, plot.name, plot.boxes, said, styles)
        shown = Drawn([_key(word, mark) for word, mark in plot.key], [Markup(panel) for panel in panels])
    file = f"plots/{plot.name}.svg" if plot else None
    tables = [
        {"table": view.table, "open": view.open, "svg": file if i == 0 else None}
        for i, view in enumerate(section.tables)
    ]
    return {**vars(section), "plot": shown, "tables": tables}


def _key(word: str, mark: Mark | str) -> Key:
    return Key(word, mark.role, mark.path) if isinstance(mark, Mark) else Key(word, mark, SQUARE)


def write_csv(folder: Path, table: Table) -> None:
    frame = table.frame.map(_defused)
    replace(folder / "tables" / f"{table.name}.csv", frame.to_csv(index=False, lineterminator="\n").encode())


def _defused(cell: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets an apostrophe before it."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "@", "\t")) else cell
