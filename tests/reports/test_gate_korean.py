"""The reasons of a gate in Korean: each that our code can give, and nothing of what others said."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import results
from reports.gate_korean import REASONS, korean, remarks
from results.cell import Cell, Variant
from results.comparison import Mismatch, mismatches, staleness
from results.comparison_cells import Couple, Measured, Place
from results.environment import Environment
from results.gate import Gate
from results.policy import Policy, Rule
from results.reliability import SHUTDOWN

OURS = ("comparison.py", "comparison_damage.py", "gate.py", "gate_checks.py", "policy.py")
HANGUL = re.compile("[가-힣]")


def measured(version: int, name: str, **more: object) -> Measured:
    """Whatever can differ between two cells differs with ``version`` and ``name``."""
    variant = Variant(name, name * 8, "awq", code=version, calibration=name * 4, dtype=name, device=name)
    made = Environment(
        python=name, platform=name, cpu=name, cores=2, libraries={"torch": name}, commit=name * 8, dirty=version == 1
    )
    cell = Cell(variant, "pairwise", version, "ko", name, {"window": version})
    notes = {"prompts": name * 8, "reported": name, "dataset_revision": name}
    found = Measured(
        cell,
        "ok",
        artifact=name * 8,
        created="2026-01-01",
        environment=made,
        notes=notes,
        ids=("1", "2"),
        groups=("1",),
    )
    return replace(found, **more)  # type: ignore[arg-type]


def test_every_mismatch_is_told_in_korean() -> None:
    place = Place("awq", "awq", "pairwise", "ko")
    found = mismatches(Couple(place, measured(1, "ab"), measured(2, "cd")))
    found += mismatches(Couple(place, measured(1, "ab"), measured(2, "cd", ids=("3", "2"))))
    assert {one.kind for one in found} >= {"model", "task", "judge", "items", "prompt", "precision", "engine", "commit"}
    for one in found:
        said = korean(one.sentence)
        assert "기준선" in said
        assert not re.search(r"\b(the|in|of|our|another)\b", said), said


def test_what_grew_old_is_told_in_korean() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    ends = [{SHUTDOWN: "2026-11-01"}, {SHUTDOWN: "2026-12-01"}]
    old = [measured(1, "ab", notes={**measured(1, "ab").notes, **notes}) for notes in ends]
    said = [korean(line) for line in staleness(old, 100, now)]
    assert said[0].startswith("기준선의 셀 2개 중 2개가 100일을 넘김(가장 오래된 것은 325일)")
    assert all(HANGUL.search(line) for line in said)
    assert len(said) == 4


@pytest.mark.parametrize("english", REASONS)
def test_a_reason_is_one_that_the_gate_gives(english: str) -> None:
    """Else a sentence was changed there and stays English here."""
    pieces = {piece for name in OURS for piece in strings(name) if " " in piece and len(piece) > 5}
    for part in (part for part in re.split(r"\{\w+\}", english) if " " in part.strip()):
        assert any(part in piece or piece in part for piece in pieces), part


def strings(name: str) -> list[str]:
    tree = ast.parse((Path(results.__file__).parent / name).read_text(encoding="utf-8"))
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_reasons_within_reasons_and_words_of_others() -> None:
    assert korean("English: the run has no such cell") == "영어: 실행에 이 셀이 없음"
    assert korean("awq 4-bit, perplexity, ko: failed in the run: CUDA out of memory") == (
        "awq 4-bit, perplexity, ko: 실행에서 실패: CUDA out of memory"
    )
    assert (
        korean("the prompts: nothing in the baseline, 0a1b2c3d in the run")
        == "프롬프트: 기준선은 없음, 실행은 0a1b2c3d"
    )
    assert korean("<b>{x}</b> said so") == "<b>{x}</b> said so"
    assert korean("{x}: {0} in the baseline, {y!r} in the run") == "{x}: 기준선은 {0}, 실행은 {y!r}"


def test_what_stands_beside_a_verdict() -> None:
    found = Gate(
        Policy((Rule("perplexity", margin=1.0),)),
        (),
        ((Mismatch("fatal", "prompt", "the prompts: ab in the baseline, cd in the run"), 3),),
        ("awq, perplexity, ko: in the baseline, not in the run",),
        ("the baseline was measured by code with uncommitted changes",),
        Policy((Rule("perplexity", margin=1.0),)).remarks[:1],
    )
    assert remarks(found) == [
        "비교 불가: 프롬프트: 기준선은 ab, 실행은 cd (셀 3개)",
        "오래됨: 기준선을 측정한 코드에 커밋하지 않은 변경이 있었음",
        "경고: 직전 기준선보다 앞을 보는 차단 규칙이 없음. 허용 폭 안의 갱신이 쌓일 수 있으니 "
        'against = "anchor" or "none" 규칙을 추가',
        "비교하지 않음: awq, perplexity, ko: 기준선에만 있고 실행에 없음",
    ]
