"""The judging phase: stored answers -> duels -> verdicts -> records of the task pairwise. No judged model is loaded.

Every verdict is kept by the content of what was asked, so an interrupted phase goes on where it stopped, and judging
again costs nothing that was paid before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from harness.contestants import Pairing, pairings
from harness.humanlabels import compare, read_labelled, shown
from harness.jury import Jury, content_of, forecast, said
from harness.pairwise import NAME, SCORES, VERSION, Bout, measure
from harness.problems import UserError
from harness.progress import Reporter
from harness.questions import asked, fingerprint, sample_id
from harness.specs import JudgingSpec
from judges.api import ask_all
from judges.duel import Duel, Judge, Judgement, Match, Preference, games
from judges.panel import PanelMatch
from judges.problems import BudgetReached
from judges.questions import Question
from results.again import AGAIN
from results.cell import Cell
from results.environment import capture
from results.estimate import Sample
from results.games import Asked, Game, write_asked, write_games
from results.judged_sentences import CHOSEN
from results.labels import labels
from results.record import Record
from results.reliability import SHUTDOWN
from results.store import Run


@dataclass(frozen=True)
class Judged:
    """What a phase did."""

    cells: tuple[Cell, ...]
    stopped: str | None = None
    """Why it ended before its time: a budget that was reached."""
    spent: str = ""


Finished = tuple[Record, tuple[Sample, ...], tuple[Game, ...]]


@dataclass(frozen=True)
class Contest:
    """One pairwise cell with all that is needed to judge it."""

    cell: Cell
    bout: Bout
    judges: tuple[Judge, ...]
    notes: Mapping[str, str]

    def turns(self) -> Iterator[tuple[Question, int]]:
        """Every question's turns."""
        for question in self.bout.questions:
            for turn in range(1, len(question.turns) + 1):
                yield question, turn

    def duels(self, question: Question, turn: int) -> tuple[Duel, Duel] | None:
        """Both orders; None where a side has no answer to this turn."""
        sides = [side[question.id].turns if question.id in side else () for side in (self.bout.ours, self.bout.theirs)]
        return games(question, turn, *sides) if all(len(side) >= turn for side in sides) else None

    def asked(self) -> Iterator[tuple[Judge, Duel]]:
        """All that the judges are asked, in the order in which `judge_contests` takes the verdicts."""
        for question, turn in self.turns():
            for duel in self.duels(question, turn) or ():
                for judge in self.judges:
                    yield judge, duel


@dataclass
class Heard:
    """Who answered, and when: for the notes of a record."""

    reported: dict[str, None] = field(default_factory=dict)
    dates: set[str] = field(default_factory=set)

    def note(self, judgement: Judgement) -> None:
        told = judgement.identity
        if name := told.get("reported"):
            self.reported[f"{name} ({told['fingerprint']})" if told.get("fingerprint") else str(name)] = None
        if "date" in told:
            self.dates.add(str(told["date"]))

    def notes(self) -> dict[str, str]:
        found = {"reported": ", ".join(sorted(self.reported))} if self.reported else {}
        if self.dates:
            found["judged"] = f"{min(self.dates)} to {max(self.dates)}"
        return found


def judge_run(
    run: Run,
    spec: JudgingSpec,
    cache: Path,
    reporter: Reporter,
    dry: bool = False,
    labelled: Path | None = None,
    most: int | None = None,
) -> Judged:
    """Judge a run's answers, one record for each pairing and language that is not judged yet; ``dry``: only say what.

    ``labelled``: pairs that people have judged, the first ``most`` of which the judge is shown first.

    Raises UserError and JudgingError for what no judging can do without: answers, an opponent, a key, an endpoint, a
    budget of one match at least. A budget that is reached ends the phase; what is left is recorded as skipped.
    """
    records = run.records()
    with Jury(spec, run.folder, cache, reporter.phase) as jury:
        for notice in jury.notices:
            reporter.notice(notice)
        rule = {CHOSEN: f"{spec.best} by {spec.by}"} if spec.best else {}
        contests, unjudged = _contests(run, pairings(records, spec), jury, rule)
        done = {contest.cell.key for contest in contests if _is_judged(run, contest)}
        pending = [contest for contest in contests if contest.cell.key not in done]
        lost = [record for record in unjudged if not _is_told(run, record)]
        pairs = read_labelled(labelled)[:most] if labelled else ()
        everything = chain(shown(pairs, jury), *(contest.asked() for contest in pending))
        outlay = forecast(everything)
        reporter.expect(len(pending) + len(lost), already=len(done))
        reporter.notice(said(outlay))
        cells = tuple(contest.cell for contest in contests) + tuple(record.cell for record in unjudged)
        if dry:
            return Judged(cells)
        for contest in contests:
            kept = (Asked(q.id, sample_id(q), q.category, q.turns) for q in contest.bout.questions)
            write_asked(run.folder, contest.cell.text, kept)
        keep = _keeper(run, reporter)
        shutdowns = jury.shutdowns()
        for name, date in shutdowns.items():
            reporter.notice(
                f"{name} will be shut down on {date}, and its win rates cannot be made again then. Judge the same "
                "answers with its successor before that; `langgap judge RUN --bridge` tells what changes."
            )
        pending = [_told_of(contest, shutdowns) for contest in pending]
        _renew(run, sorted(done), shutdowns)
        stopped = None
        try:
            jury.ask_in_batches(chain(shown(pairs, jury), *(contest.asked() for contest in pending)))
            for shared in compare(pairs, jury, run.folder, spec.concurrency) if pairs else ():
                reporter.notice(shared.sentence)
            for record in lost:
                keep(record)
            for finished in judge_contests(pending, spec.concurrency, reporter):
                keep(*finished)
        except BudgetReached as reached:
            stopped = str(reached)
            for contest in (one for one in pending if not _is_judged(run, one)):
                keep(Record(contest.cell, "skipped", reason=stopped, notes=contest.notes))
        return Judged(cells, stopped, jury.spent())


def judge_contests(contests: Sequence[Contest], concurrency: int, reporter: Reporter) -> Iterator[Finished]:
    """Each contest's record, samples and games once its last verdict is there; meanwhile the next is asked for."""
    threads = 2 * concurrency  # so that one reply is put on disk while another is waited for
    verdicts = ask_all((pair for contest in contests for pair in contest.asked()), threads)
    for contest in contests:
        began, heard = time.perf_counter(), Heard()
        matches, total = [], sum(1 for _ in contest.turns())
        for question, turn in contest.turns():
            matches.append(_match(contest, question, turn, verdicts, heard))
            reporter.phase(f"judging {contest.cell.language}", len(matches), total)
        notes = {**contest.notes, **heard.notes()}
        seconds = {"judge": round(time.perf_counter() - began, 3)}
        try:
            found = measure(contest.bout, matches)
        except ValueError as error:
            yield Record(contest.cell, "failed", reason=str(error), seconds=seconds, notes=notes), (), games_of(matches)
        else:
            record = Record(contest.cell, "ok", found.estimates, seconds=seconds, notes={**notes, **found.notes})
            yield record, found.samples, games_of(matches)


def _match(contest: Contest, question: Question, turn: int, verdicts: Iterator[Judgement], heard: Heard) -> PanelMatch:
    """Both games of every juror. Messages stay in the judgements file: a cell's matches are small."""
    duels = contest.duels(question, turn)
    if duels is None:
        lost = Judgement(Preference.FAILED, reason="a side has no answer to this turn")
        return PanelMatch(tuple(Match(question, turn, (lost, lost)) for _ in contest.judges))
    orders: list[list[Judgement]] = []
    for _ in duels:
        orders.append([])
        for _ in contest.judges:
            judgement = next(verdicts)
            heard.note(judgement)
            orders[-1].append(Judgement(judgement.preference, reason=judgement.reason, key=judgement.key))
    return PanelMatch(tuple(Match(question, turn, pair) for pair in zip(*orders, strict=True)))


def games_of(matches: Sequence[PanelMatch]) -> tuple[Game, ...]:
    """Every look of every juror, for readers."""
    return tuple(
        Game(match.question.id, match.turn, juror, order, SCORES.get(verdict), game.reason, game.key)
        for match in matches
        for juror, of in enumerate(match.jurors, start=1)
        for order, (game, verdict) in enumerate(zip(of.games, of.verdicts, strict=True), start=1)
    )


def _contests(
    run: Run, planned: Sequence[Pairing], jury: Jury, rule: Mapping[str, str]
) -> tuple[list[Contest], list[Record]]:
    """What can be judged; and the records of what cannot, each with its reason. ``rule``: who was chosen by what."""
    contests: list[Contest] = []
    unjudged: list[Record] = []
    for pairing in planned:
        ours, theirs = pairing.ours, pairing.theirs
        identity = jury.identity(ours.language)
        judges = () if pairing.lacks else jury.judges(ours.language)
        cell = Cell(
            ours.variant,
            NAME,
            VERSION,
            ours.language,
            ours.text,
            identity,
            ours.limit,
            theirs.key,
        )
        notes = {"judge": jury.name, "opponent": pairing.opponent, **rule}
        if pairing.lacks:
            unjudged.append(Record(cell, "skipped", reason=pairing.lacks, notes=notes))
            continue
        sides = [run.conversations(side.key) for side in (ours, theirs)]
        notes["answers"] = " ".join(map(content_of, sides))
        if ours != theirs and ours.variant == theirs.variant:
            notes[AGAIN] = "re-run" if ours.params.get("temperature") == "category" else "batch shape"
        questions = asked_questions(ours)
        mine, yours = ({one.question: one for one in side} for side in sides)
        contests.append(Contest(cell, Bout(questions, mine, yours), judges, notes))
    return contests, unjudged


def asked_questions(cell: Cell) -> tuple[Question, ...]:
    """The questions of a cell of answers. Raises UserError if they cannot be had or are no longer the same."""
    name = str(cell.params["questions"])
    questions = asked(name, cell.language, cell.limit)
    if fingerprint(questions) != cell.text:
        raise UserError(
            f"the questions of {name} in {cell.language} have changed since they were answered; give the set as it "
            "was, or run the sweep again to have the present one answered."
        )
    return questions


def _told_of(contest: Contest, shutdowns: Mapping[str, str]) -> Contest:
    """With the date, of a panel the first, on which its judge will be gone: what a baseline grows stale by."""
    return replace(contest, notes={**contest.notes, SHUTDOWN: min(shutdowns.values())}) if shutdowns else contest


def _renew(run: Run, judged: Iterable[str], shutdowns: Mapping[str, str]) -> None:
    """Write a date that has become known since into the records that are there."""
    for record in map(run.record, judged if shutdowns else ()):
        if record is not None and record.notes.get(SHUTDOWN) != min(shutdowns.values()):
            notes = {**record.notes, SHUTDOWN: min(shutdowns.values())}
            run.append(replace(record, notes=notes), run.samples(record.cell.key))


def _is_judged(run: Run, contest: Contest) -> bool:
    """Whether the latest record is ok and of the present answers."""
    record = run.record(contest.cell.key)
    whole = not run.pending([contest.cell])
    return record is not None and whole and record.notes.get("answers") == contest.notes["answers"]


def _is_told(run: Run, record: Record) -> bool:
    """Whether the run says already that, and why, a cell cannot be judged."""
    latest = run.record(record.cell.key)
    return latest is not None and (latest.status, latest.reason) == (record.status, record.reason)


def _keeper(run: Run, reporter: Reporter) -> Callable[..., None]:
    """(record, samples, games) -> kept in the run, with when and where it was made, and told."""
    named = labels(record.cell.variant for record in run.records())
    environment = run.add_environment(capture())

    def keep(record: Record, samples: tuple[Sample, ...] = (), games: tuple[Game, ...] = ()) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        if games:
            write_games(run.folder, record.cell.key, games)
        run.append(replace(record, environment=environment, created=now), samples)
        reporter.finished(record, named[record.cell.variant.key])

    return keep
