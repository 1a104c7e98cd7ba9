"""What a run judged, in FastChat's folder layout, so that its tools work: RUN/fastchat/<questions>-<language>/."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from harness.judging import asked_questions
from harness.jury import judgements_path
from harness.problems import UserError
from judges.duel import play
from judges.fastchat import Pair, write_answers, write_pairs, write_questions
from judges.problems import JudgingError
from judges.questions import Question
from judges.replay import ReplayJudge, read_replay
from results.again import answered_again
from results.conversation import Conversation
from results.labels import labels
from results.record import Record
from results.store import Run


def export(run: Run) -> list[Path]:
    """Questions, answers and judgements of every set and language that has answers; the files written.

    A panel's jurors have a file each. Raises UserError where there is nothing to export.
    """
    records = [record for record in run.records() if record.status == "ok"]
    named = labels(record.cell.variant for record in run.records())
    answered = [record for record in records if record.cell.task == "answers"]
    if not answered:
        raise UserError(f"{run.folder} holds no answers, so there is nothing to export.")
    sets: dict[Path, list[Record]] = {}
    twice = answered_again(answered)  # FastChat knows one answer of a model to a question
    for record in (record for record in answered if record.cell.key not in twice):
        name = re.sub(r"[^\w.-]+", "-", str(record.cell.params["questions"])).strip("-")
        sets.setdefault(run.folder / "fastchat" / f"{name}-{record.cell.language}", []).append(record)
    written: list[Path] = []
    for folder, of in sets.items():
        told = {record.cell.key: run.conversations(record.cell.key) for record in of}
        questions = asked_questions(of[0].cell)
        stamp = _stamp(of[0])
        written += write_questions(folder, questions, "reference", stamp)
        for record in of:
            answers = {one.question: one.turns for one in told[record.cell.key]}
            written.append(write_answers(folder, named[record.cell.variant.key], answers, _stamp(record)))
        matches = [r for r in records if r.cell.task == "pairwise" and r.cell.reference in told]
        for judge, pairs in _pairs(run, matches, of, questions, told, named).items():
            written.append(write_pairs(folder, pairs, judge, stamp))
    return written


def _pairs(
    run: Run,
    matches: Sequence[Record],
    answered: Sequence[Record],
    questions: Sequence[Question],
    told: dict[str, list[Conversation]],
    named: dict[str, str],
) -> dict[str, list[Pair]]:
    """Judge -> every match of this set, read from the judgements file."""
    cells = {record.cell.key: record.cell for record in answered}
    mine = {record.cell.variant.key: key for key, record in zip(cells, answered, strict=True)}
    found: dict[str, list[Pair]] = {}
    for record in matches:
        theirs = record.cell.reference or ""
        ours = mine.get(record.cell.variant.key, "")
        if ours == theirs or not ours:
            continue  # FastChat knows no model against itself
        names = named[record.cell.variant.key], named[cells[theirs].variant.key]
        sides = [{one.question: one.turns for one in told[key]} for key in (ours, theirs)]
        for judge, replay in _replays(run, record):
            found.setdefault(judge, []).extend(
                Pair(*names, play(replay, question, turn, sides[0][question.id], sides[1][question.id]))
                for question in questions
                for turn in range(1, len(question.turns) + 1)
                if all(len(side.get(question.id, ())) >= turn for side in sides)
            )
    return found


def _replays(run: Run, record: Record) -> Iterator[tuple[str, ReplayJudge]]:
    """(model, its recorded judgements) of every juror whose file lies in the run, its first replicate only."""
    each = (str(record.cell.params[name]).split(" + ") for name in ("model", "prompts", "replicate"))
    for model, prompts, replicate in zip(*each, strict=True):
        path = judgements_path(run.folder, model)
        if replicate != "0" or not path.is_file():
            continue  # replayed from a file elsewhere
        try:
            yield model, read_replay(path, model, prompts)
        except JudgingError as error:
            raise UserError(str(error)) from None


def _stamp(record: Record) -> float:
    """Seconds since 1970 of a record: FastChat's tstamp."""
    return datetime.fromisoformat(record.created).timestamp() if record.created else 0.0
