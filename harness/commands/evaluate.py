"""``evaluate``: read one model in some languages and print what came out; keeps no records."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands._text import Commands, add_cache, add_command, add_json, at_least, columns, print_json
from harness.exits import ExitCode
from harness.problems import UserError

if TYPE_CHECKING:
    from harness.languagemodel import LanguageModel
    from harness.specs import SweepConfig, TaskSpec
    from results.estimate import Measurement

EVALUATE = """
Measure one artifact, or one original model, and print a table. Nothing is recorded: to compare
variants, with intervals and a page, use `langgap sweep`.

examples:
  langgap evaluate small --languages en,ko
  langgap evaluate bundled:gemma-3-270m --languages ko --limit 8 --json
  langgap evaluate small --task perplexity:protocol=gptq --corpus wikitext2 --languages en
"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "evaluate", "measure one model and print a table", EVALUATE, run)
    parser.add_argument("artifact", metavar="ARTIFACT", help="a folder that `langgap compress` wrote, or any model")
    parser.add_argument(
        "--task",
        action="append",
        metavar="NAME[:key=value,...]",
        help="perplexity (the default), zeroshot, answers, footprint or speed; repeatable",
    )
    parser.add_argument("--languages", metavar="CODES", help="such as en,ko (default: the eight bundled ones)")
    parser.add_argument("--corpus", metavar="NAME", help="test text (default: bundled); also file:texts/{language}.txt")
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="at most N passages per language")
    parser.add_argument("--dtype", default="auto", metavar="T", help="auto, float32, bfloat16 or float16")
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")
    add_cache(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> ExitCode:
    config = _config(args)
    measured = _measure(args, config)
    if args.json:
        print_json(
            [
                {
                    "task": task,
                    "language": language,
                    "estimates": {k: e.to_json() for k, e in m.estimates.items()},
                    "notes": dict(m.notes),
                }
                for task, language, m in measured
            ]
        )
        return ExitCode.OK
    for task in dict.fromkeys(task for task, _, _ in measured):
        rows = [(language, m.estimates) for name, language, m in measured if name == task]
        metrics = list(dict.fromkeys(metric for _, estimates in rows for metric in estimates))
        print(f"{task}")
        print(
            columns(("language", *metrics), [(code, *(_number(found.get(m)) for m in metrics)) for code, found in rows])
        )
    return ExitCode.OK


def _number(estimate: Any) -> str:
    return "-" if estimate is None else f"{estimate.value:.5g}"


def _config(args: argparse.Namespace) -> SweepConfig:
    """The command's options as a sweep of one variant, so that they are checked like one."""
    from harness.config import parse_config
    from harness.overrides import codes, parse_call
    from harness.tasks import all_tasks

    asked = [parse_call(text) for text in args.task or ["perplexity"]]
    if any(task["name"] == "fidelity" for task in asked):
        raise UserError("fidelity compares a variant with its original; `langgap sweep --task fidelity` does that.")
    if args.corpus:
        texts = {name for name, task in all_tasks().items() if task.reads_text}
        asked = [{"corpus": args.corpus, **task} if task["name"] in texts else task for task in asked]
    mapping = {"models": [args.artifact], "method": [{"name": "none"}], "task": asked}
    mapping |= {"dtype": args.dtype, "device": args.device}
    if args.limit:
        mapping["limit"] = args.limit
    if args.languages:
        mapping["languages"] = codes(args.languages)
    return parse_config(mapping, "the command line")


def _measure(args: argparse.Namespace, config: SweepConfig) -> list[tuple[str, str, Measurement]]:
    """(task, language, measurement) for everything asked for; a weighed task has the language ``und``."""
    from harness.facts import test_passages
    from harness.plan import NO_LANGUAGE
    from harness.progress import reporting
    from harness.tasks import all_tasks

    known = all_tasks()
    folder = Path(args.artifact)
    is_artifact = (folder / "manifest.json").is_file()
    found: list[tuple[str, str, Measurement]] = []
    for spec in config.tasks:
        if (known[spec.name].weighs or known[spec.name].runs_model) and not is_artifact:
            raise UserError(f"{spec.name} weighs an artifact, and '{folder}' is none. See `langgap compress --help`.")
        if known[spec.name].weighs:
            found.append((spec.name, NO_LANGUAGE, known[spec.name].load().measure(folder)))
    if all(known[spec.name].weighs for spec in config.tasks):
        return found
    from harness.readings import Protocol, read

    with reporting() as reporter:
        lm = _language_model(args, is_artifact, reporter.phase)
        for spec in config.tasks:
            if known[spec.name].runs_model:
                timed = known[spec.name].load().measure(folder, lm, spec.params, reporter.phase)
                found.append((spec.name, NO_LANGUAGE, timed))
            if known[spec.name].asks_questions:
                found += _written(lm, spec, config, reporter.phase)
            if known[spec.name].asks_items:
                found += _answered(lm, spec, config, reporter.phase)
            if not known[spec.name].reads_text:
                continue
            window: Any = spec.params["window"]
            protocol = Protocol(name=str(spec.params["protocol"]), window=window)
            for language in config.languages:
                reading = read(lm, test_passages(config, spec, language), protocol, None, None, reporter.phase)
                found.append((spec.name, language, known[spec.name].load().measure(reading)))
    return found


def _written(
    lm: LanguageModel, spec: TaskSpec, config: SweepConfig, progress: Any
) -> list[tuple[str, str, Measurement]]:
    """Answers to open questions in every language that has a set."""
    from harness import answers
    from harness.plan import questions_key

    keys = (questions_key(config, spec, language) for language in config.languages)
    return [
        (spec.name, key[1], answers.measure(lm, {**spec.params, "questions": key[0]}, *key[1:], None, progress))
        for key in keys
        if key
    ]


def _answered(
    lm: LanguageModel, spec: TaskSpec, config: SweepConfig, progress: Any
) -> list[tuple[str, str, Measurement]]:
    """Every lm-eval task meant, in every language that has it, under its own name."""
    from harness import zeroshot
    from harness.items import find

    given = spec.params["limit"]
    limit = config.limit if given is None else int(given)
    items = find(str(spec.params["tasks"]), str(spec.params["include_path"]))
    return [
        (item.family, code, zeroshot.measure(lm, {**spec.params, "tasks": item.family}, code, limit, None, progress))
        for code in config.languages
        for item in items
        if item.language == code
    ]


def _language_model(args: argparse.Namespace, is_artifact: bool, progress: Any) -> LanguageModel:
    """The model to read with: an artifact loaded back, or an original."""
    from harness.languagemodel import LanguageModel
    from harness.models import check_bos, choose_device, choose_dtype, resolve

    if not is_artifact:
        source = resolve(args.artifact, args.cache, args.dtype, args.device, progress).source
        check_bos(source)
        return LanguageModel(source.model(), source.tokenizer(), source.device)
    from transformers import AutoTokenizer

    from methods.artifact import CHECKPOINT, load

    device, folder = choose_device(args.device), Path(args.artifact)
    model = load(folder, choose_dtype(args.dtype, device), device)
    place = folder / CHECKPOINT if (folder / CHECKPOINT).is_dir() else folder
    return LanguageModel(model, AutoTokenizer.from_pretrained(place), device)
