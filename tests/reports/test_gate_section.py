"""The page shows the last gate of its run: verdict, reasons, baseline; and says where it is not of these records."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reports.gate_file import NAME, keep_gate, kept_gate
from reports.gate_json import gate_from_json, gate_json
from reports.gathered import gather
from reports.html import render
from reports.page import Page, page
from reports.section import Section
from reports.words import Words
from results.claims import make_claims
from results.comparison_cells import Place
from results.gate import Check, Gate
from results.policy import Policy, Rule
from results.store import Run

HOSTILE = "<script>alert(1)</script> `x` {why}"
GAP = Rule("bits_per_sentence", margin=1.0, gap=True, name="gap")
SIZE = Rule("total_bytes", relative_margin=0.01, tier="warn")


def place(variant: str = "awq 4-bit", language: str = "ko", task: str = "perplexity") -> Place:
    return Place(variant, "awq", task, language)


def gate(*checks: Check, not_compared: tuple[str, ...] = ("rtn 4-bit, perplexity, ko: not in the baseline",)) -> Gate:
    return Gate(Policy((GAP, SIZE)), checks, (), not_compared, (), ())


FAILED = Check(GAP, place(), "fail", 1.7, 1.4, 2.0, 220.0, 218.0, 16, 16, p_fail=1e-5, p_fail_adjusted=0.002)
PASSED = Check(GAP, place(language="ja"), "pass", 0.1, -0.1, 0.3, 210.0, 209.9, 16, 16, p_pass=1e-9)
UNSURE = Check(GAP, place(language="zh"), "inconclusive", 0.9, 0.5, 1.3, items=16, passages=16, needed=90)
MISSING = Check(GAP, place(language="fr"), "missing", note="the run has no such cell")
HEAVIER = Check(SIZE, place(language="und", task="footprint"), "fail", 0.02, exact=True, p_fail=0.0)
ALL = gate(FAILED, PASSED, UNSURE, MISSING, HEAVIER)
BASELINE = {"file": "base.lock", "date": "2026-11-01T10:00:00+00:00", "who": "Ada", "why": "first", "commit": None}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, build: Callable[..., Path]) -> Callable[..., Page]:
    run = Run.open(build(tmp_path_factory.mktemp("judged"), languages=("en", "ko")))
    claims = make_claims(run)

    def make(found: Gate | None = ALL, lang: str = "en", baseline: dict = BASELINE, **changes: object) -> Page:
        (run.folder / NAME).unlink(missing_ok=True)
        if found is not None:
            keep_gate(run.folder, run.records(), {**gate_json(found), "baseline": baseline}, "2026-11-22T12:00:00")
            if changes:
                value = json.loads((run.folder / NAME).read_text())
                (run.folder / NAME).write_text(json.dumps({**value, **changes}))
        words = Words(lang)
        return page(gather(run, claims, words), words)

    return make


def section(content: Page) -> Section:
    return next(section for section in content.sections if section.id == "gate")


def test_a_gate_comes_back_from_json_as_far_as_words_need_it() -> None:
    found = gate_from_json(json.loads(json.dumps(gate_json(ALL))))
    assert gate_json(found) == gate_json(ALL)


def test_no_gate_no_section(judged: Callable[..., Page]) -> None:
    content = judged(None)
    assert "gate" not in [section.id for section in content.sections]
    assert not any("Gate" in sentence.text for sentence in content.sections[0].sentences)


def test_the_verdict_stands_on_the_first_screen_and_its_reasons_next(judged: Callable[..., Page]) -> None:
    content = judged()
    first = content.sections[0].sentences[0]
    assert (first.text, first.kind) == (
        "Gate: FAIL. Something became worse than its margin allows; of 4 blocking checks 1 passed, 1 failed, "
        "1 inconclusive, 1 had nothing to compare.",
        "failed",
    )
    found = section(content)
    assert content.sections[1] is found
    said = [sentence.text for sentence in found.sentences]
    assert said[1].startswith("✗ gap: awq 4-bit, perplexity, ko: gap of bits_per_sentence worse by +1.7 bits")
    assert any("about 90 passages would tell" in text for text in said)
    assert any(text.endswith("nothing was compared: the run has no such cell") for text in said)
    assert found.paragraphs[0] == (
        "Baseline base.lock, saved 2026-11-01 by Ada: first. Policy unknown; judged 2026-11-22 12:00 UTC."
    )
    assert "not compared: rtn 4-bit, perplexity, ko: not in the baseline" in [one.text for one in found.folded]
    told, passed = (view.table.rows() for view in found.tables)
    assert [row[0][0] for row in told] == ["✗ failed", "∅ nothing to compare", "? inconclusive", "✗ failed"]
    assert [row[6][0] for row in told] == ["+1.7 [+1.4, +2]", "–", "+0.9 [+0.5, +1.3]", "+2.00%"]
    assert len(passed) == 1


def test_in_korean(judged: Callable[..., Page]) -> None:
    found = section(judged(gate(FAILED, replace(UNSURE, p_fail=0.01)), "ko"))
    said = [sentence.text for sentence in found.sentences]
    assert said[0].startswith("게이트: 실패.")
    assert said[1] == (
        "✗ gap: awq 4-bit, perplexity, ko: bits_per_sentence의 영어 대비 격차: 기준선보다 +1.7비트(문장당) [+1.4, +2] "
        "나쁩니다. 허용 폭 1, 지문 16개, 홀름 보정 p = 0.002"
    )
    assert "단독으로는 실패(p = 0.01)이나 검사 2개에 대한 홀름 보정 뒤에는 아닙니다" in said[2]
    assert said[2].endswith("지문 약 90개면 판정할 수 있습니다")


def test_a_verdict_of_other_records_is_said_and_leaves_the_first_screen(judged: Callable[..., Page]) -> None:
    content = judged(ALL, records="0" * 32)
    assert "other records than the run has now" in section(content).sentences[0].text
    assert not any("Gate" in sentence.text for sentence in content.sections[0].sentences)


def test_a_cell_measured_again_makes_a_verdict_outdated(tmp_path: Path, gate_run: Callable[..., Path]) -> None:
    folder = gate_run("run", methods=("none",), languages=("en",))
    with Run.open(folder, write=True) as run:
        keep_gate(folder, run.records(), {**gate_json(ALL), "baseline": BASELINE}, "")
        kept = kept_gate(folder, run.records())
        assert kept
        assert not kept.is_outdated
        run.append(replace(run.records()[-1], created="2026-12-01T00:00:00+00:00"))
        assert kept_gate(folder, run.records()).is_outdated  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema": 2}, "its schema is 2"),
        ({"checks": [{"rule": 1}]}, "it has no"),
        ({"checks": 3}, "not iterable"),
        ({"state": "pass"}, "its checks say 'fail'"),
        ({"baseline": None}, "NoneType"),
        ({"checks": [{**gate_json(ALL)["checks"][0], "damage": "much"}]}, "damage is 'much'"),
        ({"checks": [{**gate_json(ALL)["checks"][0], "passages": None}]}, "passages is None"),
        ({"checks": [{**gate_json(ALL)["checks"][0], "state": "fine"}]}, "a check is 'fine'"),
    ],
)
def test_an_altered_file_is_told_and_the_page_is_made(
    judged: Callable[..., Page], changes: dict[str, object], told: str
) -> None:
    (said,) = section(judged(ALL, **changes)).sentences
    assert told in said.text
    assert "`langgap gate RUN --baseline FILE`" in said.text


def test_hostile_words_stay_text(judged: Callable[..., Page]) -> None:
    worse = replace(FAILED, place=place(HOSTILE), note=HOSTILE)
    content = judged(gate(worse, not_compared=(HOSTILE,)), baseline={**BASELINE, "why": HOSTILE, "file": HOSTILE})
    html = render(replace(content, sections=[section(content)]), Words("en"))
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
