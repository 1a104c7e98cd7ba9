"""The table of finished cells that a terminal shows while a sweep runs: a row a variant, a column a language."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from results.record import Record

KEPT = 10
"""Lines of the terminal that the table leaves to the bars and to what was said last."""
MOST = 8
"""Languages that fit beside a variant's name in 120 columns."""


class LiveTable:
    """Perplexities as they come; whatever else was measured is counted. Rendered anew at every refresh."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, str]] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._languages: dict[str, None] = {}

    def saw(self, record: Record, label: str) -> None:
        cell = record.cell
        row = self._rows.setdefault(label, {})
        counts = self._counts.setdefault(label, {})
        counts[record.status] = counts.get(record.status, 0) + 1
        if cell.task == "perplexity":
            self._languages[cell.language] = None
            found = record.estimates.get("perplexity")
            row[cell.language] = f"{found.value:.4g}" if found else record.status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        if not self._rows:
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="perplexity", title_justify="left")
        table.add_column("variant", overflow="ellipsis", no_wrap=True, min_width=12)
        languages = list(self._languages)[:MOST]
        for name in (*languages, "ok", "failed", "skipped"):
            table.add_column(name, justify="right", no_wrap=True)
        height = max(3, (options.height or console.height) - KEPT)
        for label in list(self._rows)[-height:]:
            shown = [self._rows[label].get(language, "") for language in languages]
            counts = [str(self._counts[label].get(status, "")) for status in ("ok", "failed", "skipped")]
            table.add_row(Text(label), *shown, *counts)
        yield table
