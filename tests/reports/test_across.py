"""The page of several runs: both languages, what moved, what differs, what could not be compared."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from reports.across import write_across


def part(page: str, section: str) -> str:
    return page.split(f'<section id="{section}"')[1].split("</section>")[0]


@pytest.fixture
def both(tmp_path: Path, gate_run: Callable[..., Path]) -> dict[str, Path]:
    newer = {"torch": "2.14.0", "numpy": "2.4.0"}
    return {
        "january": gate_run("a"),
        "february": gate_run("b", worse={("awq", "ko"): 2.0}, libraries=newer, failed=[("rtn", "ja")]),
    }


def test_variants_stand_side_by_side_under_the_names_of_their_runs(both: dict[str, Path], tmp_path: Path) -> None:
    page = write_across(both, tmp_path / "out").read_text(encoding="utf-8")
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td>", part(page, "verdict"))
    assert rows == [(name, run) for name in ("none", "rtn 4-bit", "awq 4-bit") for run in both]
    kept = pd.read_csv(tmp_path / "out" / "tables" / "summary.csv").set_index(["variant", "run"])
    assert kept.loc[("awq 4-bit", "february"), "ko"] > kept.loc[("awq 4-bit", "january"), "ko"] + 1


def test_what_moved_is_told_with_its_interval_and_what_is_the_same_as_such(
    both: dict[str, Path], tmp_path: Path
) -> None:
    page = write_across(both, tmp_path / "out").read_text(encoding="utf-8")
    assert (
        "february beside january: of 19 numbers compared, 1 differ beyond chance, 0 do not, 18 are the same item by "
        "item; 0 of those without items (sizes) differ."
    ) in page
    moved = pd.read_csv(tmp_path / "out" / "tables" / "across.csv").set_index(["variant", "metric", "language"])
    one = moved.loc[("awq 4-bit", "bits_per_sentence", "ko")]
    assert one["verdict"] == "established"
    assert one["difference_low"] < one["difference"] < one["difference_high"]
    assert set(moved.drop(index=[one.name])["verdict"]) == {"same"}
    assert "not compared" not in page


def test_what_made_the_runs_and_what_could_not_be_compared(both: dict[str, Path], tmp_path: Path) -> None:
    page = write_across(both, tmp_path / "out").read_text(encoding="utf-8")
    made = part(page, "provenance")
    assert "<td>torch</td><td>library</td><td>2.13.0</td><td>2.14.0</td>" in made.split("<details>")[0]
    assert "<td>numpy</td>" in made.split("<details>")[1]
    assert "What made the runs differs in: torch." in page
    apart = part(page, "apart")
    assert apart.count("<li>") == 1
    assert "perplexity (ja), zeroshot (ja): february beside january: without a number on one side" in apart
    assert "(rtn 4-bit): failed: out of memory" in apart


def test_in_korean(both: dict[str, Path], tmp_path: Path) -> None:
    page = write_across(both, tmp_path / "out", "ko").read_text(encoding="utf-8")
    assert "january 대비 february: 비교한 수치 19개 중 1개는" in page
    assert "실행 조건 가운데 다른 것: torch." in page
    assert "What moved" not in page


def test_other_texts_are_not_compared_and_the_page_says_so(tmp_path: Path, gate_run: Callable[..., Path]) -> None:
    runs = {"a": gate_run("a"), "b": gate_run("b", text="u")}
    page = write_across(runs, tmp_path / "out").read_text(encoding="utf-8")
    what = "perplexity (en, ko, ja), zeroshot (en, ko, ja)"
    assert f"{what}: b read other texts or items than a (none, rtn 4-bit, awq 4-bit)" in page
    moved = pd.read_csv(tmp_path / "out" / "tables" / "across.csv")
    assert set(moved["metric"]) == {"total_bytes"}
