"""How far a judge is to be trusted in a language: one card for each judge and language, from judged matches alone.

`ties` of `none` against itself (A/A) says what the judge makes of no difference: 1 is what it should be. Consistency
and first-slot share say whether the place of an answer decides. Win rates of two languages are comparable only where
their cards are alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from results.again import is_again
from results.cell import canonical_json, digest_of
from results.estimate import Estimate, Sample
from results.games import FOLDER
from results.record import Record
from results.statistics import Array, cluster_share, mean
from results.store import Run
from results.winrate import interval

TASK = "pairwise"
CONSISTENT = 0.6
"""Share of turns with one verdict in both orders that a judge needs: GPT-4 had 0.65 on MT-Bench with a plain prompt,
and 0.775 with examples (Zheng et al. 2023, table 2)."""
SLOT = 0.75
"""Share of what the order decides that one slot may win, before the place of an answer decides."""
EVEN = 0.5
"""Share of ties that a judge needs between equal answers: below, it sees differences where there are none."""
SHUTDOWN = "judge_shutdown"
"""The note of a pairwise record that says when the judge's endpoint will take its model away, as the endpoint told."""
LABELS = "agreement.json"
"""Beside the judgements: what people said, compared with the judge; the harness writes it."""


@dataclass(frozen=True)
class Card:
    """One judge in one language. None: not measured."""

    judge: str
    model: str
    prompts: str
    language: str
    questions: int
    consistency: Estimate | None
    """Share of turns with one verdict in both orders, A/A left out."""
    first_slot_share: Estimate | None
    """Of the turns that the order decided, the share won by the answer shown first, A/A left out."""
    ties: Estimate | None
    """Share of games called a tie, A/A left out."""
    aa_ties: Estimate | None
    """Share of ties between `none` and itself."""
    between_jurors: float | None
    """Share of turns on which two jurors of a panel say the same."""
    with_people: Estimate | None
    """Share of labelled pairs on which the judge says what people said, averaged over orders."""

    @property
    def weaknesses(self) -> tuple[str, ...]:
        """What disqualifies the judge, beyond its interval: ``inconsistent``, ``slot``, ``uneven``."""
        return tuple(name for name, (_, low, high) in self._tests() if high < 0 or low > 0)

    @property
    def open(self) -> tuple[str, ...]:
        """What was not judged often enough to tell, or not at all."""
        tests = dict(self._tests())
        missing = [name for name in ("inconsistent", "uneven") if name not in tests]
        return (*missing, *(name for name, (inside, low, high) in tests.items() if not inside and low <= 0 <= high))

    def _tests(self) -> Iterator[tuple[str, tuple[bool, float, float]]]:
        """(what, (is it certainly within what is allowed, distances of both bounds from what is allowed))."""
        for name, estimate, least, most in (
            ("inconsistent", self.consistency, CONSISTENT, 1.0),
            ("slot", self.first_slot_share, 1 - SLOT, SLOT),
            ("uneven", self.aa_ties, EVEN, 1.0),
        ):
            if estimate is None or estimate.low is None or estimate.high is None:
                continue
            low, high = estimate.low, estimate.high
            yield name, (least <= low and high <= most, max(0.0, low - most), min(0.0, high - least))

    @property
    def sentence(self) -> str:
        return self._sentence(0)

    @property
    def sentence_ko(self) -> str:
        return self._sentence(1)

    def _sentence(self, place: int) -> str:
        kind = "weak" if self.weaknesses else "open" if self.open else "sound"
        named = {"consistency": self.consistency, "share": self.first_slot_share, "aa": self.aa_ties}
        numbers = {name: _told(estimate) for name, estimate in named.items()}
        said = [_WORDS[name][place].format(**numbers) for name in self.weaknesses]
        head = _HEADS[kind][place].format(model=self.model, language=self.language, questions=self.questions)
        return f"{head}: {'; '.join(said)}." if said else f"{head}."

    def to_json(self) -> dict[str, Any]:
        value = asdict(self)
        return {
            **value,
            "weaknesses": list(self.weaknesses),
            "sentence": self.sentence,
            "sentence_ko": self.sentence_ko,
        }


_HEADS = {
    "weak": ("{model} is a weak judge in {language}", "{model}은(는) {language}에서 약한 심판입니다"),
    "open": (
        "too little was judged to vouch for {model} as a judge in {language}, or to reject it ({questions} questions)",
        "{language}에서 {model}을(를) 심판으로 믿을지 판단하기에는 판정이 너무 적습니다(문항 {questions}개)",
    ),
    "sound": (
        "nothing disqualifies {model} as a judge in {language}",
        "{model}은(는) {language}에서 결격 사유가 없습니다",
    ),
}
_WORDS = {
    "inconsistent": (
        "its verdict survives a change of order on only {consistency} of the turns",
        "순서를 바꾸면 판정이 유지되는 턴이 {consistency}뿐입니다",
    ),
    "slot": (
        "where the order decides, the answer shown first wins {share}",
        "순서가 결과를 좌우할 때 먼저 제시된 답이 이기는 비율이 {share}입니다",
    ),
    "uneven": (
        "of two equal answers it calls only {aa} a tie",
        "같은 두 답을 무승부로 보는 비율이 {aa}뿐입니다",
    ),
}


def trust(games: Array) -> dict[str, Estimate]:
    """games (questions, looks, orders) as `results.winrate` has them -> shares with intervals clustered by question.

    `position_consistency` of looks with a verdict in both orders, `first_slot_share` of those that the orders decided,
    `ties` of all games; what there is none of is left out.
    """
    x = np.asarray(games, dtype=float)
    first, second = x[..., 0], x[..., 1]
    whole = ~np.isnan(x).any(axis=2)
    split = whole & (np.abs(first - second) == 1)
    known = ~np.isnan(x)
    found = {
        "position_consistency": (first[whole] == second[whole], np.nonzero(whole)[0]),
        "first_slot_share": (first[split] == 1, np.nonzero(split)[0]),
        "ties": (x[known] == 0.5, np.nonzero(known)[0]),
    }
    return {name: cluster_share(of.astype(float), list(rows)) for name, (of, rows) in found.items() if len(of)}


def cards(run: Run) -> list[Card]:
    """The cards of all judges of a run, by judge and language in the order of the records."""
    of: dict[tuple[str, str], list[Record]] = {}
    for record in run.records():
        if record.cell.task == TASK and record.status == "ok":
            of.setdefault((canonical_json(dict(record.cell.params)), record.cell.language), []).append(record)
    people = _agreements(run)
    return [card(records, run, people.get(label_key(records[0]))) for records in of.values()]


def card(records: Sequence[Record], run: Run, with_people: Estimate | None = None) -> Card:
    """The card of one judge in one language from its pairwise records."""
    equal: list[tuple[dict[str, Array], tuple[Sample, ...]]] = []
    different: list[tuple[dict[str, Array], tuple[Sample, ...]]] = []
    for record in (record for record in records if not is_again(record)):
        games = games_of(run.samples(record.cell.key))
        (equal if is_aa(record, run) else different).append((games, run.samples(record.cell.key)))
    cell = records[0].cell
    told, alike = (_trust([games for games, _ in of]) for of in (different, equal))
    names = {sample.group for _, samples in (*different, *equal) for sample in samples}
    return Card(
        judge=str(cell.params.get("judge")),
        model=str(cell.params.get("model")),
        prompts=str(cell.params.get("prompts")),
        language=cell.language,
        questions=len(names),
        consistency=told.get("position_consistency"),
        first_slot_share=told.get("first_slot_share"),
        ties=told.get("ties"),
        aa_ties=alike.get("ties"),
        between_jurors=between_jurors([samples for _, samples in different]),
        with_people=with_people,
    )


def is_aa(record: Record, run: Run) -> bool:
    """Whether a pairwise record shows a variant against itself, be it the same answers or its second ones."""
    other = run.record(record.cell.reference or "")
    return other is not None and other.cell.variant.key == record.cell.variant.key


def games_of(samples: Sequence[Sample]) -> dict[str, Array]:
    """Question -> games (turns x jurors, orders) as `results.winrate` has them, read from ``game_J_T_O``."""
    names = {tuple(map(int, name.split("_")[1:])) for s in samples for name in s.quantities if name.startswith("game_")}
    jurors, turns, _ = (max(place) for place in zip(*names, strict=True)) if names else (1, 1, 2)
    return {
        sample.id: np.array(
            [
                [sample.quantities.get(f"game_{juror}_{turn}_{order}", np.nan) for order in (1, 2)]
                for turn in range(1, turns + 1)
                for juror in range(1, jurors + 1)
            ]
        )
        for sample in samples
    }


def between_jurors(cells: Iterable[Sequence[Sample]]) -> float | None:
    """Of the turns that two jurors judged, the share on which both say win, tie or loss alike; None with one juror.

    A juror says what the mean of its two orders says.
    """
    same = both = 0
    for samples in cells:
        for sample in samples:
            said: dict[str, dict[str, float]] = {}
            for name in sample.quantities:
                if name.startswith("game_") and name.endswith("_1"):
                    _, juror, turn, _ = name.split("_")
                    other = sample.quantities.get(f"game_{juror}_{turn}_2")
                    if other is not None:
                        said.setdefault(turn, {})[juror] = float(np.sign(sample.quantities[name] + other - 1))
            for of in said.values():
                for a, b in combinations(of.values(), 2):
                    both += 1
                    same += a == b
    return same / both if both else None


def agreement(games: Sequence[Sequence[float]] | Array, labels: Sequence[float]) -> Estimate:
    """Share of games that say what people said, by pair: ``games`` (pairs, orders) and ``labels`` (pairs,) are 1, ½, 0
    for the first-named answer. A game without verdict (NaN) agrees with nobody."""
    x, y = np.asarray(games, dtype=float), np.asarray(labels, dtype=float)
    if x.ndim != 2 or len(x) != len(y):
        raise ValueError(
            f"games have shape {x.shape} and there are {len(y)} labels; it is (pairs, orders) and (pairs,)"
        )
    return interval(mean((x == y[:, None]).mean(axis=1)))


def label_key(record: Record) -> str:
    """Under which `LABELS` keeps what a judge and people had in common: its identity and the language."""
    return digest_of([dict(record.cell.params), record.cell.language])


def _agreements(run: Run) -> Mapping[str, Estimate]:
    path = run.folder / FOLDER / LABELS
    if not path.is_file():
        return {}
    return {key: Estimate(**value) for key, value in json.loads(path.read_text(encoding="utf-8")).items()}


def _trust(cells: Sequence[Mapping[str, Array]]) -> dict[str, Estimate]:
    """`trust` of all looks of all cells at a question together, for they are alike."""
    names = list(dict.fromkeys(name for games in cells for name in games))
    if not names:
        return {}
    blank = [next(iter(games.values())) * np.nan for games in cells]
    return trust(
        np.stack(
            [
                np.concatenate([games.get(name, none) for games, none in zip(cells, blank, strict=True)])
                for name in names
            ]
        )
    )


def _told(estimate: Estimate | None) -> str:
    """``42% [20%, 63%]``."""
    if estimate is None:
        return "-"
    bounds = "" if estimate.low is None or estimate.high is None else f" [{estimate.low:.0%}, {estimate.high:.0%}]"
    return f"{estimate.value:.0%}{bounds}"
