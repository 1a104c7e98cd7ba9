"""Answers in a run: kept beside their record, found again, and missed when they are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from results.cell import Cell, Variant
from results.conversation import Conversation
from results.record import Record
from results.store import Run, UnreadableRun

CELL = Cell(Variant("tiny", "w" * 32, "none"), "answers", 1, "ko", "t" * 32, {"questions": "bundled"}, 2)
TOLD = [
    Conversation("q1", ("첫째\n줄\u2028", "둘째\r\n\ud800"), ("end", "length"), (4, 64)),
    Conversation("q2", ("", "3"), ("end", "end"), (1, 2)),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Run.open(tmp_path, write=True) as run:
        run.append(Record(CELL, "ok"), (), TOLD)
    return tmp_path


def test_conversations_come_back_exactly(folder: Path) -> None:
    run = Run.open(folder)
    assert run.conversations(CELL.key) == TOLD
    assert (folder / "answers" / CELL.key[:2] / f"{CELL.key}.jsonl").is_file()
    assert run.pending([CELL]) == []
    assert run.conversations("0" * 32) == []
    assert run.samples(CELL.key) == ()


def test_conversations_lost_or_cut_are_said_and_measured_again(folder: Path) -> None:
    path = folder / "answers" / CELL.key[:2] / f"{CELL.key}.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    run = Run.open(folder)
    with pytest.raises(UnreadableRun, match=f"{path.name} was cut short .* Delete the file and run the same sweep"):
        run.conversations(CELL.key)
    assert run.pending([CELL]) == [CELL]
    assert "measured again" in run.notices[-1]
    path.write_bytes(whole.replace(b"q1", b"q9"))
    with pytest.raises(UnreadableRun, match="was altered"):
        run.conversations(CELL.key)
    path.unlink()
    with pytest.raises(UnreadableRun, match="cannot be read"):
        run.conversations(CELL.key)


@pytest.mark.parametrize(
    ("stops", "tokens", "said"),
    [(("end",), (1, 2), "one stop and one count"), (("end", "eos"), (1, 2), "'end' or at 'length', not at 'eos'")],
)
def test_what_is_no_conversation(stops: tuple[str, ...], tokens: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Conversation("q", ("a", "b"), stops, tokens)
