"""Right and wrong answers to the items of lm-eval's tasks, by a model that is loaded already.

An item with choices is answered by the choice whose text the model finds most likely after the question (`accuracy`),
and by the one most likely per UTF-8 byte (`accuracy_per_byte`; lm-eval's `acc_norm` divides by characters, its
`acc_bytes` by bytes as we do). The margin, ln p(right choice) - ln p(best other), moves long before an answer flips.

`none` answers some items again, each alone: in other batches sums are rounded otherwise, and what comes of that is the
noise floor of every change.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from methods.base import Progress, silent
from results.again import AGAIN
from results.cell import Scalar, digest_of
from results.estimate import Estimate, Measurement, Sample

if TYPE_CHECKING:
    from lm_eval.api.task import Task

    from harness.items import ItemTask
    from harness.languagemodel import LanguageModel
    from harness.lmeval import HarnessLM
    from harness.lmtasks import Asked

NAME = "zeroshot"
VERSION = 1
SUMMARY = "right and wrong answers to the items of lm-eval's tasks: accuracy and log-likelihood margins"
NEEDS_MODEL = True
FIELDS = {
    "tasks": (
        "langgap_items",
        "names of tasks, groups and tags, with commas; `langgap tasks --language ko` lists them",
    ),
    "fewshot": (None, "examples before each question; the task's own number if not given"),
    "chat_template": (False, "ask by the tokenizer's chat template"),
    "include_path": ("", "a folder with task files of your own"),
    "max_length": (None, "tokens read at once, equal for all variants; 2048 if not given"),
    "limit": (None, "at most this many items per task; the sweep's limit if not given"),
}
METRICS = ("accuracy", "accuracy_per_byte", "margin")
RIGHT = ("acc", "exact_match", "em")
"""What lm-eval calls an item's being right, where it is not the choice that tells."""


def measure(
    lm: LanguageModel,
    params: Mapping[str, Scalar],
    language: str,
    limit: int | None = None,
    answers: Path | None = None,
    progress: Progress = silent,
    again: bool = False,
) -> Measurement:
    """Ask a model the first ``limit`` items of one task in one language; ``params["tasks"]`` is the task's family.

    ``answers`` is the folder of what this artifact answered before. ``again``: ask each item alone, whatever was
    answered before; text is generated for one item at a time anyway, so there it is a plain re-run. An item's sample is
    known by the hash of its content, and by its alignment id where the task's items are parallel. Raises what
    `harness.lmtasks.load` raises, and ValueError naming the item for one that cannot be asked.
    """
    from harness import items, lmtasks
    from harness.lmeval import HarnessLM

    item_task = items.member(str(params["tasks"]), str(params["include_path"]), language)
    chat = bool(params["chat_template"])
    if chat and not getattr(lm.tokenizer, "chat_template", None):
        raise ValueError("the model's tokenizer has no chat template; leave chat_template out")
    told = silent if again else progress
    adapter = HarnessLM(lm, _max_length(lm, params["max_length"]), None if again else answers, told)
    task = lmtasks.load(item_task, params["fewshot"])  # type: ignore[arg-type]
    asked = list(lmtasks.render(task, adapter, limit, chat))
    fitting, shortened, left_out = _fit(adapter, asked)
    kind = _answer(task, adapter, fitting, progress if again else None)
    samples = _samples(task, item_task, fitting)
    notes = _notes(lm, item_task, task, adapter, fitting) | _cut(shortened, left_out, adapter.max_length)
    if again:
        notes[AGAIN] = "re-run" if kind == "generate_until" else "batch shape"
    if item_task.aligned and not all(sample.group != sample.id for sample in samples):
        notes["pairing"] = f"items lack one of the fields {', '.join(item_task.aligned)}: not paired across languages"
    return Measurement(tuple(samples), _estimates(item_task, fitting, samples), notes)


def _max_length(lm: LanguageModel, given: Scalar) -> int:
    from harness.readings import Protocol

    return Protocol(window=None if given is None else int(given)).width(lm)


def _fit(adapter: HarnessLM, asked: Sequence[Asked]) -> tuple[list[Asked], list[int], list[int]]:
    """The items that can be asked, the numbers of those that lose their beginning, and of those that do not fit at all.

    A text of fewer bytes than tokens may be read need not be encoded to know that it fits.
    """
    width, fitting, shortened, left_out = adapter.max_length, [], [], []
    for item in asked:
        pairs = [request.args for request in item.requests if request.request_type == "loglikelihood"]
        long = [pair for pair in pairs if len("".join(pair).encode()) >= width]
        sizes = [tuple(map(len, adapter.encoded(*pair))) for pair in long]
        if any(choice > width for _, choice in sizes):
            left_out.append(item.number)
            continue
        fitting.append(item)
        if any(context + choice > width + 1 for context, choice in sizes):
            shortened.append(item.number)
    if not fitting:
        raise ValueError(
            f"none of the {len(asked)} items fits: {width} tokens are read at once, and each choice is longer"
        )
    return fitting, shortened, left_out


def _answer(task: Task, adapter: HarnessLM, asked: Sequence[Asked], alone: Progress | None) -> str:
    """Put the model's answers into the requests, and lm-eval's filtered ones. Returns what kind of requests they are.

    ``alone``: ask each item for itself, and tell this how far it is.
    """
    instances = [request for item in asked for request in item.requests]
    (kind,) = {instance.request_type for instance in instances}
    ask = getattr(adapter, kind)
    if alone is None:
        answers = ask(instances)
    else:
        answers = []
        for done, item in enumerate(asked, 1):
            answers += ask(item.requests)
            alone("answering", done, len(asked))
    for instance, answer in zip(instances, answers, strict=True):
        instance.resps = [answer] * (instance.repeats or 1)  # greedy: a repetition would say the same
    task._instances = instances
    task.apply_filters()
    return kind


def _samples(task: Task, item_task: ItemTask, asked: Sequence[Asked]) -> list[Sample]:
    """One sample an item; equal items are told apart by their order."""
    seen: Counter[str] = Counter()
    found = []
    for item in asked:
        content = digest_of([item_task.family, _plain(item.doc)])[:16]
        seen[content] += 1
        name = content if seen[content] == 1 else f"{content}-{seen[content]}"
        try:
            quantities = _quantities(task, item)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"item {item.number} of '{item_task.name}' cannot be scored: {error}") from error
        group = _aligned(item_task, item.doc) or name
        found.append(Sample(name, group, quantities, item.doc.get("source_language")))
    return found


def _quantities(task: Task, item: Asked) -> dict[str, float]:
    """What is kept of an item: 1 or 0 for right or wrong, and of choices the margins (nats) and which was taken."""
    key = next(iter(item.requests[0].filtered_resps))
    answers = [request.filtered_resps[key] for request in item.requests]
    told = task.process_results(item.doc, answers)
    if task.OUTPUT_TYPE != "multiple_choice":
        name = next((name for name in RIGHT if name in told), None)
        if name is None:
            raise ValueError(f"the task measures {', '.join(told)}, none of which is right or wrong")
        return {"correct": float(told[name])}
    choices = [str(choice) for choice in task.doc_to_choice(item.doc)]
    gold = _gold(task, item.doc, choices)
    nats = [float(likelihood) for likelihood, _ in answers[: len(choices)]]
    sizes = [len(choice.encode()) for choice in choices]
    per_byte = [value / size for value, size in zip(nats, sizes, strict=True)]
    taken, taken_per_byte = (values.index(max(values)) for values in (nats, per_byte))
    return {
        "correct": float(told.get("acc", taken in gold)),
        "correct_per_byte": float(taken_per_byte in gold),
        "margin": _margin(nats, gold),
        "margin_per_byte": _margin(per_byte, gold),
        "choice": float(taken),
        "choice_per_byte": float(taken_per_byte),
        "choices": float(len(choices)),
        "bytes": float(sizes[min(gold)]),
    }


def _gold(task: Task, doc: dict[str, Any], choices: list[str]) -> set[int]:
    """The places of the right choices. Raises ValueError for a target that is none of the choices."""
    target = task.doc_to_text(doc) if getattr(task, "multiple_input", 0) else task.doc_to_target(doc)
    targets = target if isinstance(target, list) else [target]
    places = {choices.index(one) if isinstance(one, str) and one in choices else one for one in targets}
    if not places or not all(isinstance(place, int) and 0 <= place < len(choices) for place in places):
        raise ValueError(f"its target is {target!r}, and it has {len(choices)} choices, counted from 0")
    if len(places) == len(choices):
        raise ValueError("every choice is right")
    return places


def _margin(values: Sequence[float], gold: set[int]) -> float:
    """The best right choice minus the best wrong one."""
    return max(values[place] for place in gold) - max(v for place, v in enumerate(values) if place not in gold)


def _aligned(item_task: ItemTask, doc: dict[str, Any]) -> str | None:
    values = [doc.get(field) for field in item_task.aligned]
    return None if not values or None in values else "#".join(map(str, values))


def _estimates(item_task: ItemTask, asked: Sequence[Asked], samples: Sequence[Sample]) -> dict[str, Estimate]:
    """Shares and means over items; items of one passage (the first of two alignment fields) are one cluster."""
    from results.statistics import cluster_mean, cluster_share

    first = item_task.aligned[0] if len(item_task.aligned) > 1 else None
    clusters = [
        item.doc.get(first, sample.group) if first else sample.group
        for item, sample in zip(asked, samples, strict=True)
    ]
    named = {"accuracy": "correct", "accuracy_per_byte": "correct_per_byte", "margin": "margin"}
    values = {
        metric: [sample.quantities[name] for sample in samples]
        for metric, name in named.items()
        if name in samples[0].quantities
    }
    return {
        metric: cluster_mean(of, clusters).interval() if metric == "margin" else cluster_share(of, clusters)
        for metric, of in values.items()
    }


def _notes(
    lm: LanguageModel, item_task: ItemTask, task: Task, adapter: HarnessLM, asked: Sequence[Asked]
) -> dict[str, str]:
    from harness.items import version

    prompts = [list(map(_plain, request.args)) for item in asked for request in item.requests]
    dtypes = ", ".join(f"{part.replace('_', '-')} {dtype}" for part, dtype in lm.dtypes().items())
    filters = next(iter(asked[0].requests[0].filtered_resps))
    return {
        "task": f"{item_task.name}, version {task.VERSION}, lm-eval {version()}",
        "prompts": digest_of(prompts),
        "max_length": f"{adapter.max_length} tokens",
        "fewshot": f"{task.config.num_fewshot} examples",
        "dtypes": dtypes,
    } | ({} if filters == "none" else {"filter": filters})


def _cut(shortened: list[int], left_out: list[int], width: int) -> dict[str, str]:
    """What a reader must know of items that were too long: how many, and which."""

    def told(numbers: list[int], why: str) -> str:
        first = ", ".join(map(str, numbers[:5])) + (" ..." if len(numbers) > 5 else "")
        return f"{len(numbers)} items ({first}): {why}"

    found = {}
    if shortened:
        found["shortened"] = told(shortened, f"the question lost its beginning, for {width} tokens are read at once")
    if left_out:
        found["left_out"] = told(left_out, f"a choice alone is longer than the {width} tokens that are read at once")
    return found


def _plain(value: Any) -> Any:
    """A value that has a canonical JSON: bytes by their hash, whatever else JSON does not know by its words."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return hashlib.blake2b(value, digest_size=16).hexdigest()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
