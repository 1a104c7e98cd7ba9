"""The judges there are, with their parameters; a [judge] table or ``--judge`` -> JudgingSpec. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.overrides import scalar, split_outside
from harness.problems import UserError, listed, unknown
from harness.specs import JudgeSpec, JudgingSpec
from harness.table import Table, fits, wanted
from judges.problems import JudgingError
from judges.spending import Budget
from results.cell import Scalar

RANKINGS = ("fidelity", "perplexity", "bits")


@dataclass(frozen=True)
class Parameter:
    default: Scalar
    type: str
    """As it would be annotated."""
    help: str


@dataclass(frozen=True)
class JudgeKind:
    summary: str
    subject: str
    """The parameter that must be given; ``NAME:VALUE`` gives it."""
    fields: Mapping[str, Parameter]


_PROMPTS = Parameter("own", "str", "own (ours, in each question's language), a code such as en, or file:PATH")

JUDGES = {
    "api": JudgeKind(
        "a model behind any OpenAI-compatible endpoint; every reply is kept and never paid for twice",
        "model",
        {
            "model": Parameter(None, "str", "its name at the endpoint"),
            "base_url": Parameter("https://api.openai.com/v1", "str", "where the endpoint is"),
            "key_variable": Parameter("OPENAI_API_KEY", "str", "the environment variable that holds the key"),
            "prompts": _PROMPTS,
            "structured": Parameter(False, "bool", "ask for a JSON object; for servers that know response_format"),
            "temperature": Parameter(0.0, "float", "of decoding"),
            "max_tokens": Parameter(1024, "int", "of one reply"),
            "seed": Parameter(None, "int | None", "of decoding, for servers that take one"),
            "replicate": Parameter(0, "int", "another number asks everything anew: the judge's own noise"),
            "batch": Parameter(False, "bool", "ask by the endpoint's Batch API: cheaper, and within a day"),
            "poll": Parameter(30.0, "float", "seconds between two looks at a batch"),
            "input_price": Parameter(None, "float | None", "US dollars per million tokens of input"),
            "output_price": Parameter(None, "float | None", "US dollars per million tokens of output"),
            "timeout": Parameter(120.0, "float", "seconds until a request is given up"),
            "tries": Parameter(6, "int", "how often a failing request is sent"),
        },
    ),
    "local": JudgeKind(
        "a model on this machine: the likeliest of the verdict labels, deterministic, as weak as the model",
        "model",
        {
            "model": Parameter(None, "str", "a hub id, a folder, file.gguf or bundled:NAME"),
            "prompts": _PROMPTS,
            "dtype": Parameter("auto", "str", "auto, float32, bfloat16 or float16"),
            "device": Parameter("auto", "str", "auto, cpu, cuda or cuda:N"),
            "longest": Parameter(8192, "int", "tokens of a prompt beyond which a duel counts as an error"),
        },
    ),
    "replay": JudgeKind(
        "recorded judgements: asks nobody anything",
        "file",
        {
            "file": Parameter(None, "str", "a judgements file, as runs/NAME/judgements/MODEL.jsonl, or LLMBar's"),
            "model": Parameter(None, "str | None", "whose judgements, where the file holds several models'"),
            "prompts": _PROMPTS,
        },
    ),
}


def parse_judge(text: str) -> dict[str, Any]:
    """``NAME[:SUBJECT][,key=value,...]`` of the command line -> the table a sweep file would hold.

    >>> parse_judge("local:bundled:gemma-3-270m")
    {'name': 'local', 'model': 'bundled:gemma-3-270m'}
    >>> parse_judge("api:model=m,base_url=http://127.0.0.1:8000/v1")
    {'name': 'api', 'model': 'm', 'base_url': 'http://127.0.0.1:8000/v1'}
    """
    name, _, rest = text.partition(":")
    table: dict[str, Any] = {"name": name.strip()}
    for number, item in enumerate(split_outside(rest)):
        key, equals, value = (part.strip() for part in item.partition("="))
        if number == 0 and not re.match(r"\s*\w+\s*=", item):
            kind = JUDGES.get(table["name"])
            table[kind.subject if kind else "model"] = item.strip()
            continue
        if not key or not equals or not value:
            raise UserError(f"'{text}' has '{item.strip()}' where key=value belongs, as in 'api:gpt-x,max_tokens=512'.")
        table[key] = scalar(value)
    return table


def judging_of(top: Table) -> JudgingSpec | None:
    """The [judge] table of a sweep file, if it has one."""
    value = top.table("judge")
    if not value:
        return None
    asked = [task.get("name") for task in top.value.get("task") or [] if isinstance(task, Mapping)]
    if "answers" not in asked:
        top.problem("[judge]: it judges answers, and none are asked for; add a [[task]] named answers.")
    return read_judging(value, "[judge]", top.problems)


def read_judging(value: Mapping[str, Any], where: str, problems: list[str]) -> JudgingSpec | None:
    """A [judge] table; mistakes go to ``problems``. None where no judge can be made out."""
    table = Table(value, where, problems)
    panel = table.tables("panel")
    own = [Table(one, f"{where} panel {number}", problems) for number, one in enumerate(panel, start=1)] or [table]
    judges = tuple(judge for one in own if (judge := _judge(one)) is not None)
    for index, judge in enumerate(judges):
        if judges.index(judge) < index:
            table.problem(f"the judge {judge.name} is on the panel twice with the same parameters; leave one.")
    spec = JudgingSpec(
        judges,
        against=table.text("against", "none") or "none",
        variants=table.names("variants", ()),
        best=table.integer("best", None, least=1),
        by=table.choice("by", "fidelity", RANKINGS),
        duels=_flag(table, "duels", False),
        aa=_flag(table, "aa", True),
        again=_flag(table, "again", False),
        concurrency=table.integer("concurrency", 8, least=1) or 8,
        budget=table.text("budget", None),
    )
    if spec.duels and spec.against != "none":
        table.problem("duels lets the chosen variants meet each other and `against` names one opponent; leave one out.")
    if spec.again and (spec.duels or not spec.aa):
        table.problem("again has `none` answer twice to be shown against itself, which duels and aa = false leave out.")
    if spec.budget is not None:
        try:
            parse_budget(spec.budget)
        except UserError as error:
            table.problem(str(error))
    for one in {id(one): one for one in (*own, table)}.values():
        one.refuse_the_rest()
    return spec if judges else None


def _flag(table: Table, key: str, default: bool) -> bool:
    given = table.take(key)
    if given is None or isinstance(given, bool):
        return default if given is None else given
    table.problem(f"{key} is {given!r}, but must be true or false.")
    return default


def _judge(table: Table) -> JudgeSpec | None:
    name = table.text("name", None)
    kind = JUDGES.get(name or "")
    if name is None or kind is None:
        table.problem(unknown("judge", name, JUDGES) if name else f"it has no name. Known judges: {listed(JUDGES)}.")
        for key in table.value:
            table.take(key)  # what belongs to an unknown judge cannot be told from a mistake
        return None
    params: dict[str, Scalar] = {}
    for key, parameter in kind.fields.items():
        given = table.take(key)
        if given is not None and not fits(given, parameter.type):
            table.problem(f"{key} is {given!r}, but must be {wanted(parameter.type)}.")
        if given is None and key == kind.subject:
            table.problem(f"{name} needs `{key}`: {parameter.help}.")
        value = parameter.default if given is None else given
        params[key] = float(value) if "float" in parameter.type and type(value) is int else value
    return JudgeSpec(name, params)


def parse_budget(text: str) -> Budget:
    """``200calls``, ``20usd`` or both with a comma.

    >>> parse_budget("200calls"), parse_budget("1.5usd,10calls")
    (Budget(calls=200, dollars=None), Budget(calls=10, dollars=1.5))
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(?:(\d+)\s*calls?|(\d+(?:\.\d+)?)\s*usd)\s*", part, re.IGNORECASE)
        if match is None:
            raise UserError(f"the budget '{text}' is not understood; write 200calls, 20usd or 200calls,20usd.")
        found["dollars" if match[1] is None else "calls"] = float(match[1] or match[2])
    try:
        return Budget(int(found["calls"]) if "calls" in found else None, found.get("dollars"))
    except JudgingError as error:
        raise UserError(str(error)) from None
