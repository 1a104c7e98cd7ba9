"""``methods``, ``tasks``, ``languages`` and ``models``: what there is to name. None of them imports anything heavy."""

from __future__ import annotations

import argparse
from typing import Any

from harness.commands._text import Commands, add_command, add_json, columns, print_json
from harness.exits import ExitCode
from harness.problems import UserError, unknown

METHODS = """
List the compression methods, or the parameters of one. Methods whose name starts with ref_ are
other libraries' own implementations.

examples:
  langgap methods
  langgap methods awq
"""

TASKS = """
List the measurements, or the parameters of one. With --language: the tasks that come with lm-eval,
and our own two-choice items, in that language, for --task zeroshot:tasks=NAME. Most of lm-eval's
data are fetched from the hub when they are first asked for.

examples:
  langgap tasks
  langgap tasks perplexity
  langgap tasks --language ko
"""

LANGUAGES = """
List the languages of the bundled texts, with the codes of BCP-47 (which we use) and FLORES-200.
Any other language can be measured on texts of your own: see --task perplexity:corpus=file:...
"""

MODELS = """
List the models that come along as Python packages and need no hub. Everywhere a model is asked for,
a hub id with or without @revision, a folder with safetensors, or a GGUF file will do as well.
"""


def add(commands: Commands) -> None:
    methods = add_command(commands, "methods", "list compression methods and their parameters", METHODS, run_methods)
    methods.add_argument("name", nargs="?", metavar="NAME", help="show the parameters of this one")
    tasks = add_command(commands, "tasks", "list measurements and their parameters", TASKS, run_tasks)
    tasks.add_argument("name", nargs="?", metavar="NAME", help="show the parameters of this one")
    tasks.add_argument("--language", metavar="CODE", help="list lm-eval's tasks in this language instead, such as ko")
    languages = add_command(commands, "languages", "list the languages of the bundled texts", LANGUAGES, run_languages)
    models = add_command(commands, "models", "list the models that come along", MODELS, run_models)
    for parser in (methods, tasks, languages, models):
        add_json(parser)


def run_methods(args: argparse.Namespace) -> ExitCode:
    import methods

    if args.name is not None and args.name not in methods.names():
        raise UserError(unknown("method", args.name, methods.names()))
    listing = {
        name: {
            "summary": methods.summary(name),
            "calibration": bool(methods.needs(name)),
            "parameters": {key: vars(field) for key, field in methods.fields(name).items()},
        }
        for name in ([args.name] if args.name else methods.names())
    }
    _show(args, listing, ("method", "reads calibration text", "what it does"), "calibration")
    return ExitCode.OK


def run_tasks(args: argparse.Namespace) -> ExitCode:
    from harness.tasks import all_tasks

    if args.language is not None:
        return _run_items(args)
    known = all_tasks()
    if args.name is not None and args.name not in known:
        raise UserError(unknown("task", args.name, known))
    listing = {
        name: {
            "summary": task.summary,
            "text": task.reads_text,
            "parameters": {key: {"default": default, "help": said} for key, (default, said) in task.fields.items()},
        }
        for name, task in known.items()
        if args.name in (None, name)
    }
    _show(args, listing, ("task", "reads text", "what it measures"), "text")
    return ExitCode.OK


def _run_items(args: argparse.Namespace) -> ExitCode:
    """lm-eval's tasks in one language, folder by folder."""
    from harness.items import by_language
    from harness.languages import is_code, not_a_code

    if args.name is not None:
        raise UserError(f"Ask for the parameters of '{args.name}', or for the tasks in {args.language}, not for both.")
    if not is_code(args.language):
        raise UserError(not_a_code(args.language))
    found = by_language(args.language)
    if args.json:
        print_json(found)
    elif not found:
        print(
            f"We know of no task in {args.language}; for files of your own: --task zeroshot:include_path=DIR,tasks=NAME"
        )
    else:
        rows = [(folder, len({*names} - {folder}), _few(names)) for folder, names in found.items()]
        print(columns(("from", "tasks", "names for --task zeroshot:tasks=NAME"), rows))
    return ExitCode.OK


def _few(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


def _show(args: argparse.Namespace, listing: dict[str, dict[str, Any]], header: tuple[str, ...], flag: str) -> None:
    """All of a listing in one table; or one entry with its parameters."""
    if args.json:
        print_json(listing)
    elif args.name is None:
        print(columns(header, [(name, "yes" if it[flag] else "-", it["summary"]) for name, it in listing.items()]))
    else:
        entry = listing[args.name]
        print(f"{args.name}: {entry['summary']}")
        rows = [(key, _default(it["default"]), it["help"]) for key, it in entry["parameters"].items()]
        print("\n" + columns(("parameter", "default", "what it is"), rows) if rows else "It has no parameters.")


def _default(value: object) -> str:
    return "-" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)


def run_languages(args: argparse.Namespace) -> ExitCode:
    from harness.languages import LANGUAGES

    if args.json:
        print_json({code: vars(language) for code, language in LANGUAGES.items()})
    else:
        rows = [(it.code, it.english_name, it.own_name, it.script, it.flores) for it in LANGUAGES.values()]
        print(columns(("code", "language", "own name", "script", "FLORES-200"), rows))
    return ExitCode.OK


def run_models(args: argparse.Namespace) -> ExitCode:
    from harness.bundled import BUNDLED, chunk_files

    listing = {}
    for name, model in BUNDLED.items():
        try:
            installed = bool(chunk_files(name))
        except UserError:
            installed = False
        listing[f"bundled:{name}"] = {
            "installed": installed,
            "install": f"pip install 'langgap[{model.extra}]'",
            "description": model.description,
        }
    if args.json:
        print_json(listing)
    else:
        rows = [(name, "yes" if it["installed"] else it["install"], it["description"]) for name, it in listing.items()]
        print(columns(("model", "installed", "what it is"), rows))
    return ExitCode.OK
