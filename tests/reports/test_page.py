"""Sections that only some runs have: answers to items, the noise floor, gaps by source language."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from reports.gathered import gather
from reports.page import page
from reports.words import Words
from results.answers import AnswerChange
from results.claims import make_claims
from results.estimate import Estimate
from results.flips import Flips
from results.noise import Floor
from results.store import Run


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_answers_noise_and_sources_stand_in_the_page(tmp_path: Path, build: Callable[..., Path], lang: str) -> None:
    run = Run.open(build(tmp_path))
    claims, words = make_claims(run), Words(lang)
    change = claims.changes[0]
    answer = AnswerChange(
        variant=change.variant,
        label=change.label,
        task="langgap_items",
        language="ko",
        accuracy_none=0.625,
        accuracy=0.5,
        change=Estimate(-0.125, -0.3, 0.05),
        flips=Flips(24, 4, 1, 0, {}, 0),
        p=0.375,
        margin=Estimate(-1.5, -2.5, -0.5),
        p_margin=0.01,
        at_chance=False,
        kept=None,
        floors={"margin": Floor("margin", "ko", 0.25, Estimate(0.1, 0.0, 0.2), setting="langgap_items")},
        sentence_en="Four answers were lost.",
        sentence_ko="답 네 개를 잃었습니다.",
    )
    floor = Floor("extra_bits", "ko", 0.2, Estimate(0.1, 0.0, 0.2))
    claims = replace(claims, answers=(answer,), floors=(floor,))
    sections = {section.id: section for section in page(gather(run, claims, words), words).sections}

    answers = sections["answers"]
    assert answers.plot is not None
    assert [sentence.text for sentence in answers.folded] == [
        {"en": answer.sentence_en, "ko": answer.sentence_ko}[lang]
    ]
    (row,) = answers.tables[0].table.rows()
    shown = [text for text, _ in row]
    assert shown[3:6] == ["24", "62.5%", "50.0%"]
    assert shown[7:10] == ["4", "1", "0"]
    assert shown[11:14] == ["−1.5 [−2.5, −0.5]", "1.000", "0.250"]
    assert words["band_note"] in answers.paragraphs
    assert words["band_note"] not in sections["gaps"].paragraphs, "no floor of the gap is known"
    (panel,) = answers.plot.panels
    axes = Figure().add_subplot()
    panel.draw(axes)
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(-0.25, 0.5)]

    assert "±" not in sections["noise"].title
    assert len(sections["noise"].tables[0].table.rows()) == 1
    names = [view.table.name for view in sections["gaps"].tables]
    assert names == ["gaps", "gaps-by-source"]
