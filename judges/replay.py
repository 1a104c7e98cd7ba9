"""Recorded judgements as a judge: for continuous integration and for counting anew. It asks nobody anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from judges.duel import Duel, Judgement, Preference
from judges.judgements import Judgements
from judges.llmbar import is_llmbar, read_llmbar
from judges.problems import JudgingError, listed
from judges.recorded import read_recorded


@dataclass(frozen=True)
class ReplayJudge:
    """Judges as was judged: ``recorded`` holds judgements by ``Duel.key``; a duel that is not there is FAILED."""

    recorded: Mapping[str, Judgement]

    def judge(self, duel: Duel) -> Judgement:
        found = self.recorded.get(duel.key)
        return found or Judgement(Preference.FAILED, reason="no judgement of this duel was recorded")


def read_replay(path: Path, model: str | None = None, prompts: str | None = None) -> ReplayJudge:
    """A judgements file as a judge: of one model and one version of the prompts, which may be left out if there is one.

    A file of LLMBar's holds one evaluator's with prompts of its own. Raises JudgingError if the file holds none of
    them, or several to choose from.
    """
    if not path.is_file():
        raise JudgingError(f"There is no judgements file {path}.")
    if is_llmbar(path):
        return ReplayJudge(read_llmbar(path))
    recorded: dict[tuple[str, str], dict[str, Judgement]] = {}
    with Judgements(path, write=False) as kept:
        for value in kept.values():
            identity = value.get("identity", {})
            if "duel" in value and identity.get("replicate", 0) == 0:
                some = recorded.setdefault((identity["model"], identity["prompts"]), {})
                some.setdefault(value["duel"], read_recorded(value))
    fitting = {who: some for who, some in recorded.items() if model in (None, who[0]) and prompts in (None, who[1])}
    if len(fitting) != 1:
        raise JudgingError(_choice(path, recorded, model, prompts, bool(fitting)))
    return ReplayJudge(next(iter(fitting.values())))


def disagreements(judgements: Iterable[Judgement], others: Iterable[Judgement]) -> Counter[tuple[str, str]]:
    """(preference, other preference) -> how many duels: a bridge from one judge to another over the same duels."""
    return Counter((a.preference.value, b.preference.value) for a, b in zip(judgements, others, strict=True))


def _choice(path: Path, recorded: Iterable[tuple[str, str]], model: str | None, prompts: str | None, many: bool) -> str:
    holds = listed(f"{name} with prompts {version}" for name, version in recorded)
    if many:
        return f"{path} holds judgements of {holds}; say which model and which prompts to replay."
    asked = " ".join([model or "any model", *(["with prompts", prompts] if prompts else [])])
    return f"{path} holds no judgements of {asked}, only of {holds}. Judge again, or replay those."
