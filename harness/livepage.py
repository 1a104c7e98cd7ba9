"""The page while a sweep runs: written again after a finished variant, wherever that costs little beside the sweep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from results.cell import Cell, Variant
    from results.record import Record

SHARE = 0.05
"""Of a sweep's time, at most so much goes into pages that the next one replaces."""
GUESS = 8.0
"""Seconds that the first is taken to cost: imports, and the plots of seven variants in eight languages, on one core."""


class LivePage:
    def __init__(
        self, out: Path, lang: str, notice: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out, self._lang, self._notice, self._clock = out, lang, notice, clock
        self._since, self._cost = clock(), GUESS
        self._left: dict[str, set[str]] = {}
        self._total = 0
        self._is_broken = False

    def expect(self, variants: Iterable[Variant], pending: Iterable[Cell]) -> None:
        """All variants of the plan, and the cells that are still to be measured."""
        self._total = len({variant.key for variant in variants})
        self._left = {}
        for cell in pending:
            self._left.setdefault(cell.variant.key, set()).add(cell.key)

    def saw(self, record: Record) -> None:
        """A record was kept. Whatever goes wrong with the page costs one line, never the sweep."""
        left = self._left.get(record.cell.variant.key)
        if left is None:
            return
        left.discard(record.cell.key)
        if left:
            return
        del self._left[record.cell.variant.key]
        # The last variant's page is the finished one.
        if self._left and not self._is_broken and self._cost <= SHARE * (self._clock() - self._since):
            self._write()

    def _write(self) -> None:
        started = self._clock()
        try:
            from reports.running import write_running

            write_running(self._out, self._total - len(self._left), self._total, self._lang)
        except Exception as error:
            self._is_broken = True
            self._notice(f"the page is not written again before the sweep ends ({type(error).__name__}: {error})")
        self._since = self._clock()
        self._cost = self._since - started
