"""The judges of one phase, opened: files, clients, models, and the budget they share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from harness.judgelist import parse_budget
from harness.specs import JudgeSpec, JudgingSpec
from judges.api import ApiJudge
from judges.batch import Asked, Batches
from judges.duel import Duel, Judge, content_key
from judges.endpoint import Client, Decoding, Endpoint
from judges.judgements import Judgements
from judges.llmbar import is_llmbar
from judges.local import LocalJudge
from judges.problems import JudgingError
from judges.prompts import PromptSet, load_prompts, read_fastchat_prompts
from judges.replay import read_replay
from judges.spending import Budget, Prices, Spending
from methods.base import Progress, silent
from results.cell import Scalar, canonical_json
from results.games import FOLDER

IDENTITY = ("judge", "model", "address", "prompts", "style", "decoding", "replicate")
"""What a pairwise cell says of its judge: all that decides the verdicts. Of a panel, the jurors' with plus signs."""


@dataclass(frozen=True)
class Juror:
    """One judge of the phase. Prompts are a language's own, so there is a `Judge` for each language."""

    name: str
    """For readers and file names: the model's name."""
    identity: Callable[[str], Mapping[str, Scalar]]
    """Language -> what `IDENTITY` names. Raises JudgingError for a language without prompts."""
    open: Callable[[str], Judge]
    """Language -> the judge."""
    spending: Spending | None = None
    expires: Callable[[], str | None] = lambda: None
    """Asks when the endpoint will stop serving the model."""


class Share(Spending):
    """A juror's part of what the whole panel may spend, at the juror's own prices."""

    def __init__(self, pot: Spending, prices: Prices | None) -> None:
        super().__init__(pot.budget, prices)
        self._pot = pot

    def reserve(self, dollars: float) -> None:
        self._pot.reserve(dollars)
        with self._lock:
            self.calls += 1
            self.dollars += dollars

    def settle(self, reserved: float, dollars: float) -> None:
        self._pot.settle(reserved, dollars)
        super().settle(reserved, dollars)


class Jury:
    """``with Jury(spec, run, cache) as jury``: opens every judge once. Raises JudgingError, UserError."""

    def __init__(self, spec: JudgingSpec, run: Path, cache: Path, progress: Progress = silent) -> None:
        self._stack = ExitStack()
        self._files: dict[Path, Judgements] = {}
        self._judges: dict[tuple[int, str], Judge] = {}
        self._folder = run / FOLDER
        self._concurrency = spec.concurrency
        pot = Spending(parse_budget(spec.budget) if spec.budget else Budget(), Prices(0, 0))
        make = {"api": self._api, "local": self._local, "replay": self._replay}
        self.notices: list[str] = []
        try:
            self.jurors = tuple(make[one.name](one, pot, cache, progress) for one in spec.judges)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def name(self) -> str:
        return " + ".join(juror.name for juror in self.jurors)

    def judges(self, language: str) -> tuple[Judge, ...]:
        """Every juror in one language."""
        for number, juror in enumerate(self.jurors):
            if (number, language) not in self._judges:
                self._judges[number, language] = juror.open(language)
        return tuple(self._judges[number, language] for number in range(len(self.jurors)))

    def identity(self, language: str) -> dict[str, Scalar]:
        """The pairwise cell's parameters."""
        each = [juror.identity(language) for juror in self.jurors]
        if len(each) == 1:
            return dict(each[0])
        return {name: " + ".join("-" if one[name] is None else str(one[name]) for one in each) for name in IDENTITY}

    def ask_in_batches(self, asked: Iterable[tuple[Judge, Duel]]) -> None:
        """Have the jurors with batches asked in them, and wait for that."""
        each: dict[int, tuple[Batches, list[Asked]]] = {}
        for judge, duel in asked:
            if isinstance(judge, ApiJudge) and judge.batches is not None:
                each.setdefault(id(judge.batches), (judge.batches, []))[1].append(judge.request(duel))
        for batches, of in each.values():
            batches.ask(of)

    def spent(self) -> str:
        """Calls and money of this phase, in words; empty where nothing was asked for over a network."""
        all_of = [(juror.name, juror.spending) for juror in self.jurors if juror.spending is not None]
        money = (f", ${of.dollars:.4f}" if of.prices else "" for _, of in all_of)
        return "; ".join(f"{name}: {of.calls} calls{cost}" for (name, of), cost in zip(all_of, money, strict=True))

    def shutdowns(self) -> dict[str, str]:
        """Juror -> when it will be shut down, of those whose endpoint says so; asks them all."""
        return {juror.name: date for juror in self.jurors if (date := juror.expires())}

    def _kept(self, name: str) -> Judgements:
        path = judgements_path(self._folder.parent, name)
        if path not in self._files:
            self._files[path] = self._stack.enter_context(Judgements(path))
            self.notices += self._files[path].notices
        return self._files[path]

    def _api(self, spec: JudgeSpec, pot: Spending, cache: Path, progress: Progress) -> Juror:
        params: Mapping[str, Any] = spec.params
        decoding = Decoding(params["temperature"], params["max_tokens"], params["seed"])
        endpoint = Endpoint(
            params["model"],
            params["base_url"],
            params["key_variable"],
            decoding,
            timeout_seconds=params["timeout"],
            tries=params["tries"],
        )
        given = params["input_price"], params["output_price"]
        prices = None if None in given else Prices(*given)
        spending = Share(pot, prices)
        client = Client(endpoint, spending, self._concurrency)
        kept = self._kept(endpoint.model)

        def identity(language: str) -> Mapping[str, Scalar]:
            return {
                "judge": "api",
                "model": endpoint.model,
                "address": endpoint.address,
                "prompts": prompts_of(params["prompts"], language).hash,
                "style": "structured" if params["structured"] else "explained",
                "decoding": canonical_json(decoding.body()),
                "replicate": params["replicate"],
            }

        waiting = kept.path.with_suffix(".batches")
        batches = Batches(client, kept, waiting, params["poll"], progress) if params["batch"] else None

        def judge(language: str) -> ApiJudge:
            prompts = prompts_of(params["prompts"], language)
            return ApiJudge(client, prompts, kept, params["structured"], params["replicate"], batches)

        return Juror(endpoint.model, identity, judge, spending, client.shutdown_date)

    def _local(self, spec: JudgeSpec, pot: Spending, cache: Path, progress: Progress) -> Juror:
        from harness.localjudge import load_judge, scorer

        params: Mapping[str, Any] = spec.params
        lm, known = load_judge(params["model"], cache, params["dtype"], params["device"], progress)
        score, kept = scorer(lm, params["longest"]), self._kept(params["model"])
        template = (
            f"likeliest label, template {known['template']}, {known['dtype']} on {known['device']}, labels float32"
        )

        def identity(language: str) -> Mapping[str, Scalar]:
            return {
                "judge": "local",
                "model": params["model"],
                "address": known["weights"],
                "prompts": prompts_of(params["prompts"], language).hash,
                "style": "direct",
                "decoding": template,
                "replicate": 0,
            }

        def judge(language: str) -> LocalJudge:
            return LocalJudge(score, prompts_of(params["prompts"], language), known, kept)

        return Juror(params["model"], identity, judge)

    def _replay(self, spec: JudgeSpec, pot: Spending, cache: Path, progress: Progress) -> Juror:
        params: Mapping[str, Any] = spec.params
        path, model = Path(params["file"]), params["model"]

        def judge(language: str) -> Judge:
            return read_replay(path, model, prompts_of(params["prompts"], language).hash)

        def identity(language: str) -> Mapping[str, Scalar]:
            own = path.is_file() and is_llmbar(path)
            return {
                "judge": "replay",
                "model": model or path.stem,
                "address": None,
                "prompts": "recorded" if own else prompts_of(params["prompts"], language).hash,
                "style": "recorded",
                "decoding": "recorded",
                "replicate": 0,
            }

        return Juror(model or path.stem, identity, judge)


def check(spec: JudgingSpec, languages: Iterable[str], cache: Path) -> None:
    """Refuse before a sweep what would be missed after it: keys, prices, prompts, files, models. Loads no weights.

    Raises JudgingError, UserError.
    """
    from harness.models import resolve

    pot = parse_budget(spec.budget) if spec.budget else Budget()
    for one in spec.judges:
        params: Mapping[str, Any] = one.params
        for language in languages:
            prompts_of(params["prompts"], language)
        if one.name == "api":
            prices = None if params["input_price"] is None or params["output_price"] is None else Prices(0, 0)
            endpoint = Endpoint(params["model"], params["base_url"], params["key_variable"])
            Client(endpoint, Spending(pot, prices))
        elif one.name == "local":
            resolve(params["model"], cache, params["dtype"], params["device"])
        elif not Path(params["file"]).is_file():
            raise JudgingError(f"There is no judgements file {params['file']}.")


def prompts_of(asked: str, language: str) -> PromptSet:
    """``own``: ours in the language; a code: ours in that one; ``file:PATH``: FastChat's. Raises JudgingError."""
    if asked.startswith("file:"):
        return read_fastchat_prompts(Path(asked.removeprefix("file:")), language)
    return load_prompts(language.split("-")[0] if asked == "own" else asked)


def judgements_path(run: Path, name: str) -> Path:
    """Where a judge's judgements are kept: its name as a file's."""
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "judge"
    return run / FOLDER / f"{stem}.jsonl"


@dataclass(frozen=True)
class Outlay:
    """What judging would take, before retries."""

    calls: int
    kept: int
    dollars: float | None


def forecast(asked: Iterable[tuple[Judge, Duel]]) -> Outlay:
    """Calls that are not kept yet, each counted once; sends nothing. Raises JudgingError for a budget below one match.

    A local judge's computations count as calls.
    """
    duels: dict[int, tuple[Judge, list[Duel]]] = {}
    for judge, duel in asked:
        duels.setdefault(id(judge), (judge, []))[1].append(duel)
    calls, kept = 0, 0
    costs: list[float | None] = []
    for judge, of in duels.values():
        if isinstance(judge, ApiJudge):
            told = judge.forecast(of)
            calls, kept = calls + told.calls, kept + told.kept
            costs.append(told.dollars)
        elif isinstance(judge, LocalJudge):
            keys = {judge.key(duel) for duel in of}
            there = sum(judge.kept is not None and judge.kept.get(key) is not None for key in keys)
            calls, kept = calls + len(keys) - there, kept + there
    known = [cost for cost in costs if cost is not None]
    return Outlay(calls, kept, sum(known) if calls and known and len(known) == len(costs) else None)


def said(outlay: Outlay) -> str:
    """A forecast in words.

    >>> said(Outlay(40, 2, None))
    'judging takes 40 verdicts; 2 more are kept from before'
    """
    money = f", at most ${outlay.dollars:.4f} without retries" if outlay.dollars is not None else ""
    kept = f"; {outlay.kept} more are kept from before" if outlay.kept else ""
    return f"judging takes {outlay.calls} verdicts{money}{kept}"


def content_of(conversations: Iterable[Any]) -> str:
    """Digest of the answers that were judged: tells whether a record is of the present ones."""
    return content_key([[one.question, one.turns] for one in conversations])[:16]
