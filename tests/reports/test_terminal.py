"""The summary in a terminal and as Markdown."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from reports.terminal import print_summary, summary_markdown
from results.claims import make_claims
from results.store import Run

EIGHT = ("en", "ko", "ja", "zh", "fr", "es", "vi", "id")


def printed(folder: Path, **options: object) -> str:
    run = Run.open(folder)
    console = Console(file=io.StringIO(), width=120)
    print_summary(make_claims(run), run, console, **options)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_eight_languages_fit_in_120_columns(tmp_path: Path, build: Callable[..., Path]) -> None:
    text = printed(build(tmp_path / "run", languages=EIGHT))
    header = next(line for line in text.splitlines() if line.startswith("variant"))
    assert header.split()[-2:] == ["worst", "KLD"]
    assert set(EIGHT) <= set(header.split())
    # Each variant on one line of its own: nothing was folded.
    assert sum(line.startswith(("none ", "rtn ", "awq ", "ref_bitsandbytes nf4 ")) for line in text.splitlines()) == 5
    assert max(map(len, text.splitlines())) <= 120


def test_missing_is_a_status(run_folder: Path) -> None:
    line = next(line for line in printed(run_folder).splitlines() if line.startswith("ref_bitsandbytes nf4"))
    assert "skipped" in line
    assert " 0" not in line


@pytest.mark.parametrize(("lang", "word"), [("en", "What was not established"), ("ko", "확인되지 않은 것")])
def test_both_languages(run_folder: Path, lang: str, word: str) -> None:
    assert word in printed(run_folder, lang=lang, full=True)


def test_markdown(run_folder: Path) -> None:
    run = Run.open(run_folder)
    text = summary_markdown(make_claims(run), run)
    assert "| variant | size, MB | bits per weight | English | 한국어 | 日本語 |" in text
    assert "| rtn 4-bit |" in text
    assert "\\<script\\>" in text
    assert "<script>" not in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) >= 4
    for table in tables:
        assert len({row.replace("\\|", "").count("|") for row in table}) == 1


def test_hostile_markup_is_text(tmp_path: Path, build: Callable[..., Path]) -> None:
    text = printed(build(tmp_path / "run", languages=("en", "ko"), model="[red]m[/red]"), full=True)
    assert "[/red]" not in text or "[red]" in text
