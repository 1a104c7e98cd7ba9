"""The page's tables as text: in a terminal with rich, and as summary.md."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich import box
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from reports import claimed, summary
from reports.gathered import Gathered, gather
from reports.page import Page, page
from reports.shown import Table
from reports.words import Words
from results.claims import Claims
from results.store import Run

TABLES = ("gaps", "answers", "wins", "judges", "answered", "fidelity", "sizes", "failures")
"""Sections whose tables follow the summary in summary.md and in the terminal where all is asked for."""
ALWAYS = ("wins",)
"""Those that the terminal shows anyway: the summary has no room for win rates."""


def print_summary(claims: Claims, run: Run, console: Console, lang: str = "en", full: bool = False) -> None:
    """Verdicts and the summary table, readable in 120 columns; with ``full`` the page's other tables too."""
    words = Words(lang)
    found = gather(run, claims, words)
    content = page(found, words)
    for sentence in _verdict(content):
        console.print(Padding(Text(f"• {sentence.text}"), (0, 0, 0, 2)))
    for table in summary.tables(found.summary(), words, short=True):
        console.print(_rich(table))
    console.print(Text(words.say("summary_note", level=content.level), style="dim"))
    for table in _others(content, TABLES if full else ALWAYS):
        console.print(_rich(table))
    _print_open(found, words, console)


def summary_markdown(claims: Claims, run: Run, lang: str = "en") -> str:
    """The verdicts, the tables and what was not established, as Markdown."""
    words = Words(lang)
    found = gather(run, claims, words)
    return markdown(found, page(found, words), words)


def markdown(found: Gathered, content: Page, words: Words) -> str:
    parts = [f"# {words['title']}: {_plain(', '.join(content.models))}", f"## {words['verdicts']}"]
    parts.append("\n".join(f"- {_plain(sentence.text)}" for sentence in _verdict(content)))
    parts += [f"## {words['summary']}", words.say("summary_note", level=content.level)]
    parts += [_markdown_table(table) for table in summary.tables(found.summary(), words)]
    for table in _others(content, TABLES):
        parts += [f"## {words[table.name]}", _markdown_table(table)]
    said = claimed.open_questions(found.claims, words)
    parts += [
        f"## {words['not_established']}",
        "\n".join(f"- {_plain(sentence.text)}" for sentence in said) or words["nothing_open"],
    ]
    return "\n\n".join(parts) + "\n"


def _verdict(content: Page) -> list[claimed.Sentence]:
    """All that the page's first section says, what it folds too."""
    first = content.sections[0]
    return [*first.sentences, *first.folded]


def _others(content: Page, names: Sequence[str]) -> Sequence[Table]:
    return [view.table for section in content.sections if section.id in names for view in section.tables[:1]]


def _print_open(found: Gathered, words: Words, console: Console) -> None:
    said = claimed.open_questions(found.claims, words)
    if said:
        console.print(Text(words["not_established"], style="bold"))
    for sentence in said:
        console.print(Padding(Text(f"• {sentence.text}"), (0, 0, 0, 2)))


def _rich(table: Table) -> RichTable:
    # Two spaces from the box and none of padding: eight languages fit in 120 columns.
    drawn = RichTable(
        box=box.SIMPLE, pad_edge=False, padding=0, show_edge=False, title=table.title or None, title_justify="left"
    )
    for column in table.columns:
        side: JustifyMethod = "right" if column.numeric else "left"
        # A name may wrap where the terminal is narrow, but not to a letter a line.
        least = None if column.numeric else min(18, max((len(row[0][0]) for row in table.rows()), default=0))
        width = least if column is table.columns[0] else None
        drawn.add_column(escape(column.header), justify=side, overflow="fold", no_wrap=column.numeric, min_width=width)
    for row in table.rows():
        drawn.add_row(*(Text(text) for text, _ in row))
    return drawn


def _markdown_table(table: Table) -> str:
    header = "| " + " | ".join(_plain(column.header) for column in table.columns) + " |"
    rule = "|" + "|".join(" ---: " if column.numeric else " --- " for column in table.columns) + "|"
    rows = ["| " + " | ".join(_plain(text) for text, _ in row) + " |" for row in table.rows()]
    return "\n".join([header, rule, *rows])


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no cell borders, no line breaks."""
    return re.sub(r"([\\|<>\[\]*_])", r"\\\1", " ".join(text.split()))
