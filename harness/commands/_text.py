"""What several commands share: options, plain columns for a terminal, sizes in words."""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.models import default_cache

Commands = argparse._SubParsersAction  # argparse names this type no better


def add_command(commands: Commands, name: str, summary: str, description: str, run: Any) -> argparse.ArgumentParser:
    """A subcommand: ``summary`` for the list of commands, ``description`` (prose, then examples) for its own help."""
    parser = commands.add_parser(name, help=summary, description=description.strip())
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        default=default_cache(),
        help="where artifacts, moments and hidden states are kept (default: $LANGGAP_CACHE, else ~/.cache/langgap)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON to stdout, for other programs")


def at_least(least: int) -> Any:
    """An argparse type: an integer, ``least`` or more."""

    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small: {least} or more")
        return value

    return integer


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False))


def columns(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in plain text, aligned by what a terminal shows: a Hangul or Han character is two cells wide.

    >>> print(columns(("code", "name"), [("ko", "한국어"), ("en", "English")]))
    code  name
    ko    한국어
    en    English
    """
    texts = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(_cells, column)) for column in zip(*texts, strict=True)]
    padded = ([cell + " " * (width - _cells(cell)) for cell, width in zip(row, widths, strict=True)] for row in texts)
    return "\n".join("  ".join(row).rstrip() for row in padded)


def _cells(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def megabytes(count: int) -> str:
    """
    >>> megabytes(1_234_567), megabytes(2_100_000_000)
    ('1.2 MB', '2,100.0 MB')
    """
    return f"{count / 1e6:,.1f} MB"
