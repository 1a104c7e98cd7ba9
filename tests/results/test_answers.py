"""Claims about answers: flips, changes, gaps and what is at chance, from runs made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from results import answers
from results.answers import AnswerChange
from results.cell import Cell, Variant
from results.claims import make_claims
from results.comparison_cells import from_run
from results.estimate import Sample
from results.items import mcnemar
from results.record import Record
from results.store import Run

ITEMS = 80


def variant(method: str) -> Variant:
    return Variant("tiny/model", "w" * 32, method, {"bits": 4} if method != "none" else {})


def answered(code: str, right: Sequence[float], margins: Sequence[float], group: str = "i{:02d}") -> list[Sample]:
    return [
        Sample(
            f"{code}{i}",
            group.format(i, i // 4),
            {"correct": float(r), "margin": float(m), "choice": float(1 - r), "choices": 2.0},
        )
        for i, (r, m) in enumerate(zip(right, margins, strict=True))
    ]


def a_run(
    folder: Path,
    lost: dict[str, int],
    right: int = 70,
    group: str = "i{:02d}",
    gained: int = 1,
    noise: float | None = None,
) -> dict[str, AnswerChange]:
    """`none` has the first ``right`` of 80 items right; the variant loses ``lost`` of them and gains one other.

    ``noise``: `none` answers the first half again, its margins off by that many nats, the last of them wrong if any.
    """
    rng = np.random.default_rng(0)
    with Run.open(folder, write=True) as run:
        shared = rng.normal(size=ITEMS)
        for code, count in lost.items():
            before = np.array([1.0] * right + [0.0] * (ITEMS - right))
            after = before.copy()
            after[:count] = 0
            after[right : right + gained] = 1
            for method, answers, shift in (("none", before, 0.0), ("rtn", after, 0.1 * count)):
                sampled = 0.05 * rng.normal(size=ITEMS)
                params = {"tasks": "our_items", "limit": None}
                of = Cell(variant(method), "zeroshot", 1, code, f"items {code}", params, ITEMS)
                run.append(Record(of, "ok"), answered(code, answers, shared - shift + sampled, group))
                if method == "none" and noise is not None:
                    again = replace(of, limit=ITEMS // 2, reference=of.key)
                    moved = shared + sampled + noise * np.random.default_rng(count).normal(size=ITEMS)
                    asked = answered(code, np.where(np.arange(ITEMS) == 39, not noise, answers), moved, group)
                    run.append(Record(again, "ok", notes={"again": "batch shape"}), asked[: ITEMS // 2])
    return {one.language: one for one in make_claims(Run.open(folder)).answers}


def test_flips_and_their_test(tmp_path: Path) -> None:
    found = a_run(tmp_path, {"en": 2, "ko": 16})
    ko, en = found["ko"], found["en"]
    assert (ko.flips.lost, ko.flips.gained, ko.flips.items) == (16, 1, 80)
    assert ko.p == mcnemar(1, 16)
    assert ko.p_adjusted == pytest.approx(2 * ko.p)
    assert ko.change.value == pytest.approx(-15 / 80)
    assert (ko.accuracy_none, ko.accuracy) == (70 / 80, 55 / 80)
    assert ko.kept == pytest.approx((55 / 80 - 0.5) / (70 / 80 - 0.5))
    assert ko.sentence_en.startswith("rtn 4-bit: our_items in Korean: accuracy 87.5% to 68.8%, −18.8 points [−2")
    assert "; 16 answers lost, 1 gained, 0 wrong otherwise, of 80; margin −1.59" in ko.sentence_en
    assert ko.sentence_ko.startswith("rtn 4-bit: our_items(한국어) 정답률 87.5%에서 68.8%, −18.8포인트 [−2")
    assert "80문항 중 16개를 잃고 1개를 얻었으며 0개는 다른 오답으로" in ko.sentence_ko
    assert ", no change established; 2 answers lost" in en.sentence_en
    assert "변화는 확인되지 않았습니다" in en.sentence_ko


def test_the_gap_on_parallel_items(tmp_path: Path) -> None:
    found = a_run(tmp_path, {"en": 2, "ko": 16})
    assert found["en"].gap is None
    ko = found["ko"]
    assert ko.gap is not None
    assert ko.margin_gap is not None
    assert ko.gap.value == pytest.approx(-14 / 80)
    assert ko.margin_gap.value == pytest.approx(-1.4, abs=0.03)
    assert ko.p_gap_adjusted <= 0.05
    assert "Gap over English on the same items: −17.5 points [−2" in ko.sentence_en
    assert "같은 문항에서 영어와의 격차는 −17.5포인트" in ko.sentence_ko
    apart = a_run(tmp_path / "apart", {"ko": 16})
    assert apart["ko"].gap is None
    assert "Gap" not in apart["ko"].sentence_en


def test_small_gaps_of_accuracy_are_open_where_margins_are_not(tmp_path: Path) -> None:
    ko = a_run(tmp_path, {"en": 2, "ko": 4})["ko"]
    assert ko.p_gap_adjusted > 0.05
    assert ko.p_margin_gap_adjusted < 0.001
    assert "points [" in ko.sentence_en.split("Gap over")[1]
    assert ", not established; of the margin −0." in ko.sentence_en


def test_what_none_cannot_answer_is_not_measurable(tmp_path: Path) -> None:
    ko = a_run(tmp_path, {"ko": 10}, right=42)["ko"]
    assert ko.at_chance
    assert ko.kept is None
    assert ko.sentence_en == (
        "rtn 4-bit: our_items in Korean: not measurable, at chance: `none` answers 52.5% of 80 items."
    )
    assert "우연 수준입니다(80문항 중 52.5%)" in ko.sentence_ko


def test_questions_of_one_passage_are_no_independent_evidence(tmp_path: Path) -> None:
    """Eight answers lost in two passages of four: by item p = .04, by passage nothing."""
    by_passage = a_run(tmp_path, {"ko": 8}, group="p{1:02d}#{0:02d}")["ko"]
    by_item = a_run(tmp_path / "item", {"ko": 8})["ko"]
    assert by_item.p == mcnemar(1, 8) < 0.05
    assert by_passage.p > 0.2
    assert (by_passage.change.clusters, by_item.change.clusters) == (20, 80)


def test_what_asking_again_gives_is_not_established(tmp_path: Path) -> None:
    """The margin of English moves by a tenth of a nat in all 80 items, and by as much when `none` answers again."""
    found = a_run(tmp_path, {"en": 1, "ko": 16}, noise=1.0)
    en, ko = found["en"], found["ko"]
    assert en.margin is not None
    assert (en.p_margin_adjusted < 1e-6, en.noise("margin") is not None, ko.noise("margin")) == (True, True, None)
    assert en.noise("accuracy") is not None, "one answer gained, one lost: no change at all"
    assert "of 80 (`none` read again in other batches changes 1 of 40); margin −0.1" in en.sentence_en
    assert "not established (inside the noise floor: `none` read again in other batches gives up to ±" in en.sentence_en
    assert en.sentence_en.endswith(" nats per item).")
    assert "(`none`을 다른 배치로 다시 읽으면 40개 중 1개가 바뀜)" in en.sentence_ko
    assert "(확인되지 않음, 측정 잡음 수준 이내: `none`을 다른 배치로 다시 읽으면 문항당 ±" in en.sentence_ko
    assert "not established" not in ko.sentence_en.split("Gap over")[0]
    claims = make_claims(Run.open(tmp_path))
    (note,) = [note for note in claims.notes if note.sentence_en.startswith("Noise floor, margin of our_items")]
    assert "known from 40 of them: " in note.sentence_en
    assert "40개 문항으로 추정" in note.sentence_ko
    assert {floor.metric for floor in claims.floors} == {"accuracy", "margin", "accuracy_gap", "margin_gap", "flips"}


def test_where_asking_again_changes_nothing_small_changes_stay_established(tmp_path: Path) -> None:
    once, twice = a_run(tmp_path / "once", {"en": 1}), a_run(tmp_path / "twice", {"en": 1}, noise=0.0)
    assert twice["en"].floors["margin"].band == 0
    assert "not established" not in twice["en"].sentence_en
    assert twice["en"].sentence_en == once["en"].sentence_en.replace(
        "of 80;", "of 80 (`none` read again in other batches changes 0 of 40);"
    )


def test_a_gate_knows_the_first_answers_only(tmp_path: Path) -> None:
    a_run(tmp_path, {"en": 2}, noise=1.0)
    cells = [one.cell for one in from_run(Run.open(tmp_path))]
    assert [(cell.variant.method, cell.limit) for cell in cells] == [("none", ITEMS), ("rtn", ITEMS)]


def test_a_run_without_items_has_no_answers(tmp_path: Path) -> None:
    with Run.open(tmp_path, write=True) as run:
        run.append(Record(Cell(variant("rtn"), "zeroshot", 1, "ko", "t", {"tasks": "x"}), "failed", reason="why"))
    assert make_claims(Run.open(tmp_path)).answers == ()


def test_a_task_is_called_without_the_place_of_its_language() -> None:
    assert answers._called("langgap_items_{language}") == "langgap_items"
    assert answers._called("belebele_{language}") == "belebele"
    assert answers._called("kobest_boolq") == "kobest_boolq"
