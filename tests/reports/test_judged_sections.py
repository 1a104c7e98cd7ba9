"""The sections on win rates, judges and answers, in the page, in the terminal and in summary.md."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judged_run import JUDGE, build_judged, variant
from rich.console import Console

from reports.gathered import gather
from reports.html import write_report
from reports.page import Page, page
from reports.section import Section
from reports.terminal import print_summary
from reports.words import Words
from results.cell import Cell
from results.claims import make_claims
from results.record import Record
from results.store import Run

TIE, FIRST = np.full((2, 2), 0.5), np.array([[1.0, 0.0], [1.0, 0.0]])


def games(method: str, language: str, question: int) -> np.ndarray:
    if method == "none":
        return TIE
    return np.zeros((2, 2)) if language == "ko" and question % 3 else TIE


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged")
    build_judged(folder, games, ("rtn", "awq"), questions=12, wrong=lambda method, *where: method == "awq")
    with Run.open(folder, write=True) as run:
        reason = "the budget of 3 calls is spent"
        cell = Cell(variant("awq"), "pairwise", 1, "ja", "asked-ja", JUDGE, 12, "missing")
        run.append(Record(cell, "skipped", reason=reason, notes={"judge": "judge-1", "opponent": "none"}))
    return folder


def content(folder: Path, lang: str = "en") -> Page:
    run, words = Run.open(folder), Words(lang)
    return page(gather(run, make_claims(run), words), words)


def section(of: Page, name: str) -> Section:
    (found,) = [one for one in of.sections if one.id == name]
    return found


def test_win_rates_stand_side_by_side_and_the_unmeasured_is_a_status(judged: Path) -> None:
    wins = section(content(judged), "wins")
    table = wins.tables[0].table
    rows = {(row[0][0], row[1][0]): [text for text, _ in row[2:]] for row in table.rows()}
    assert [column.header for column in table.columns][2:] == [
        *("questions", "win rate", "conservative", "at equal length", "language-gated"),
        *("adjusted p", "outcome", "gap over English, points", "verdict"),
    ]
    korean = rows["rtn 4-bit", "ko 한국어"]
    assert korean[0] == "12"
    assert korean[1] == "16.7% [1.0, 32.3]"
    assert korean[3] == "not measured"
    assert korean[6] == "loss"
    assert korean[7:] == ["−33.3 [−49.0, −17.7]", "established"]
    assert rows["none (A/A)", "ko 한국어"][5:] == ["–", "–", "–", "–"]
    skipped = rows["awq 4-bit", "ja 日本語"]
    assert set(skipped) == {"skipped", "–"}
    assert wins.plot
    assert [panel.title for panel in wins.plot.panels] == ["en English", "ko 한국어"]
    assert any("What 12 questions of 2 turns can show" in text for text in wins.paragraphs)


@pytest.mark.parametrize(
    ("lang", "said"),
    [
        (
            "en",
            "Chosen to be judged: the variants that changed least, at most 2 of each model, by the extra bits per "
            "sentence in the language where they are most: rtn 4-bit.",
        ),
        (
            "ko",
            "판정 대상은 가장 적게 달라진 변형입니다(모델마다 최대 2개, 기준: 가장 많이 늘어난 언어에서 문장당 늘어난 "
            "비트): rtn 4-bit.",
        ),
    ],
)
def test_who_was_chosen_to_be_judged_is_said_with_the_rule(judged: Path, tmp_path: Path, lang: str, said: str) -> None:
    assert not any(said[:10] in text for text in section(content(judged, lang), "wins").paragraphs)
    folder = build_judged(tmp_path, games, questions=6)
    with Run.open(folder, write=True) as run:
        for record in [record for record in run.records() if record.cell.task == "pairwise"]:
            notes = {**record.notes, "chosen": "2 by bits"}
            run.append(replace(record, notes=notes), run.samples(record.cell.key))
    assert said in section(content(folder, lang), "wins").paragraphs


def test_categories_and_turns_are_folded_in_a_table_of_their_own(judged: Path) -> None:
    for lang, part, header in (("en", "Turn 1", "p (Benjamini"), ("ko", "1번째 턴", "p(벤자미니")):
        view = section(content(judged, lang), "wins").tables[1]
        assert not view.open
        assert view.table.columns[-1].header.startswith(header)
        rows = {tuple(text for text, _ in row[:3]): [text for text, _ in row[3:]] for row in view.table.rows()}
        assert len(rows) == 2 * 2 * (8 + 2)  # variants, languages; A/A has none
        assert rows["rtn 4-bit", "ko 한국어", part][:2] == ["12", "16.7% [1.0, 32.3]"]
    assert rows["rtn 4-bit", "ko 한국어", "수학"][0] == "2"
    assert rows["rtn 4-bit", "ko 한국어", "코딩"][:2] == ["1", "0.0%"]  # of one question there is no interval


@pytest.mark.parametrize(
    ("lang", "least"), [("en", "Wins least: rtn 4-bit: Korean"), ("ko", "rtn 4-bit: 한국어 답변의 승률")]
)
def test_the_worst_language_of_each_variant_is_in_the_verdict(judged: Path, lang: str, least: str) -> None:
    said = [sentence.text for sentence in section(content(judged, lang), "verdict").sentences]
    assert sum(least in text for text in said) == 1
    assert not any("English answers win" in text for text in said)


def test_a_weak_judge_is_shown_to_be_weak(tmp_path: Path) -> None:
    of = content(build_judged(tmp_path, lambda *_: FIRST, questions=24))
    (weak,) = [one for one in section(of, "verdict").sentences if one.kind == "failed"]
    assert weak.text == "judge-1 is a weak judge in en, ko: its win rates there establish nothing."
    judges = section(of, "judges")
    assert [row[-1][0] for row in judges.tables[0].table.rows()] == ["weak", "weak"]
    assert "judge-1 is a weak judge in ko" in judges.sentences[1].text


def test_rates_of_answers_stand_beside_those_of_none(judged: Path) -> None:
    answered = section(content(judged), "answered")
    rows = {(row[0][0], row[1][0]): [text for text, _ in row[2:]] for row in answered.tables[0].table.rows()}
    assert rows["awq 4-bit", "ko 한국어"][0] == "100.0% [0.0, 100.0]"
    assert rows["none", "ko 한국어"][0] == "0.0% [0.0, 100.0]"
    assert rows["none", "ko 한국어"][1] == "not measured"


def test_terminal_and_markdown_tell_win_rates(judged: Path) -> None:
    run = Run.open(judged)
    console = Console(file=io.StringIO(), width=120)
    print_summary(make_claims(run), run, console)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "win rate" in told
    assert "16.7%" in told
    assert "no win or loss against none established in en" in told
    write_report(judged, notice=lambda notice: None)
    assert "## Whose answers judges prefer" in (judged / "summary.md").read_text(encoding="utf-8")


def test_a_run_without_judges_has_no_such_sections(run_folder: Path) -> None:
    names = {one.id for one in content(run_folder).sections}
    assert not names & {"wins", "judges", "answered", "duels"}
