"""What a sweep says while it works: on a terminal a table of finished cells over bars, else a greppable line a cell.

All of it goes to stderr.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from harness.livetable import LiveTable
from results.again import asks_again

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from results.record import Record

QUIET_SECONDS = 20.0
"""Away from a terminal, a long phase is heard of this often."""


class Reporter:
    """Counts cells and shows what is going on. ``phase`` is the progress callback that methods and readings call."""

    def __init__(
        self, stream: TextIO, bar: Bar | None = None, overall: TaskID | None = None, current: TaskID | None = None
    ) -> None:
        self.total, self.done = 0, 0
        self._stream, self._bar, self._overall, self._current = stream, bar, overall, current
        self.table = LiveTable()
        self._spoke = time.monotonic()

    def phase(self, what: str, done: int, total: int) -> None:
        if self._bar is not None and self._current is not None:
            self._bar.update(self._current, description=what, completed=done, total=total, visible=True)
        elif time.monotonic() - self._spoke > QUIET_SECONDS:
            self._say(f"  ... {what}: {done} of {total}")

    def expect(self, total: int, already: int) -> None:
        """How many cells are to be measured, and how many the run has from before."""
        self.total, self.done = total, 0
        cells = "1 cell" if total == 1 else f"{total} cells"
        self._say(f"{cells} to measure" + (f", {already} measured before" if already else ""))
        if self._bar is not None and self._overall is not None:
            self._bar.update(self._overall, total=total, visible=True)

    def finished(self, record: Record, label: str) -> None:
        self.done += 1
        self.table.saw(record, label)
        if self._bar is not None and self._overall is not None:
            self._bar.update(self._overall, completed=self.done)
            if record.status == "ok" and "win_rate" not in record.estimates:
                return  # the table has it; what went wrong needs a line for its reason, and judging has no table
        cell = record.cell
        words = [f"[{self.done}/{self.total}]", record.status, label, cell.task, cell.language]
        words += ["again"] if asks_again(cell) else []
        named = {"perplexity": "ppl", "kld_mean": "kld", "accuracy": "acc", "win_rate": "win"}
        words += [
            f"{short}={record.estimates[name].value:.4g}" for name, short in named.items() if name in record.estimates
        ]
        if record.reason:
            words.append(f"({record.reason})")
        if record.seconds:
            words.append(f"{sum(record.seconds.values()):.1f}s")
        self._say(" ".join(words))

    def notice(self, text: str) -> None:
        self._say(f"note: {text}")

    def _say(self, line: str) -> None:
        self._spoke = time.monotonic()
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=self._stream, flush=True)


@contextmanager
def reporting(stream: TextIO | None = None) -> Iterator[Reporter]:
    """A Reporter on ``stream`` (stderr); a live table and bars only where that is a terminal."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield Reporter(stream)
        return
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(file=stream)
    bar = Progress(*columns, console=console, auto_refresh=False)  # drawn by Live, with the table
    overall = bar.add_task("cells", total=1, visible=False)
    current = bar.add_task("", total=1, visible=False)
    reporter = Reporter(stream, bar, overall, current)
    with Live(Group(reporter.table, bar), console=console, transient=True, refresh_per_second=4):
        yield reporter
