"""The section on parity: ours and the library's side by side, ours first whichever was measured first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import pytest

from reports.gathered import gather
from reports.page import page
from reports.parity import parity
from reports.words import Words
from results.claims import make_claims
from results.store import Run

SETTINGS = {"bits": 4, "granularity": "group:128", "symmetric": False}


def sections(folder: Path, lang: str) -> list:  # type: ignore[type-arg]
    with Run.open(folder) as run:
        found = gather(run, make_claims(run), Words(lang))
    return [each for each in page(found, Words(lang)).sections if each.id == "parity"]


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_ours_stands_beside_the_library_with_costs(
    tmp_path: Path, build: FunctionType, monkeypatch: pytest.MonkeyPatch, lang: str
) -> None:
    library = ("ref_llmcompressor", {"format": "rtn", **SETTINGS, "sparsity": 0.5})
    monkeypatch.setitem(build.__globals__["METHODS"], "awq", library)  # measured after ours, and better
    (section,) = sections(build(tmp_path), lang)
    rows = section.tables[0].table.frame
    assert set(rows["ours"]) == {"rtn 4-bit"}
    assert all(name.startswith("ref_llmcompressor 4-bit rtn") for name in rows["theirs"])
    assert list(zip(rows["measure"], rows["language"], strict=True)) == [
        (measure, code) for measure in ("bits", "kld") for code in ("en", "ko", "ja")
    ]
    assert (rows["difference"] > 0).all()
    assert (rows["difference_low"] <= rows["difference"]).all()
    assert (rows["difference"] <= rows["difference_high"]).all()
    assert "win" not in set(rows["outcome"])
    cost = section.tables[1].table.rows()
    assert [row[0][0] for row in cost] == [rows["ours"][0], rows["theirs"][0]]
    assert cost[0][2][0] == "4.12"
    assert cost[0][3][0] == Words(lang)["not measured"]  # this run says nothing of compressing
    count = int((rows["outcome"][:3] == "loss").sum())
    assert section.sentences[0].text.endswith(
        f"better in 0, tied in {3 - count} and worse in {count} of 3 languages."
        if lang == "en"
        else f"3개 언어 가운데 0개에서 낫고 {3 - count}개에서 비기고 {count}개에서 못합니다."
    )


def test_without_a_library_there_is_no_such_section(tmp_path: Path, build: Callable[..., Path]) -> None:
    folder = build(tmp_path)
    assert sections(folder, "en") == []
    with Run.open(folder) as run:
        assert parity(gather(run, make_claims(run), Words("en")), Words("en")) is None
