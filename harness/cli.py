"""The command line: one file in ``harness/commands`` per command, each importing what it runs only when it runs."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from harness.commands import (
    artifacts,
    baseline,
    cache,
    doctor,
    evaluate,
    gate,
    judge,
    lape,
    listings,
    reference,
    report,
    served,
    sweep,
)
from harness.exits import ExitCode
from harness.problems import UserError, nearest

DESCRIPTION = """\
What does compressing a language model cost, language by language?

langgap compresses a model by every method you name, measures each result in every
language you care about, and writes one page that says which method is worth its bytes,
for which language, and how sure that is. The headline number is the language gap: how
many more bits per parallel sentence a language loses than English."""

EXAMPLES = """\
start here:
  langgap doctor                   is everything in place?
  langgap sweep --quick            a first look at the bundled model, within three minutes
  langgap sweep                    the default sweep: four ways smaller, eight languages
  langgap report runs/default      the page again from the records, without measuring

exit codes:
  0 done   2 your command or file has a mistake   3 some cells failed   6 the run folder cannot be
  written   70 our own mistake   130 interrupted (run the same command again to go on)
  of gate: 1 worse than allowed   4 cannot be told   5 no baseline for it, or a cell is missing

`langgap COMMAND --help` explains each command. `python -m harness` is the same program."""

FOREIGN = {
    "judges.problems": {"BudgetReached": ExitCode.INCOMPLETE, "JudgingError": ExitCode.USAGE},
    "methods.base": {"UnsupportedModel": ExitCode.USAGE, "MissingLibrary": ExitCode.USAGE},
    "methods.artifact": {"DamagedArtifact": ExitCode.USAGE},
    "results.store": {"UnreadableRun": ExitCode.USAGE},
    "results.policy": {"PolicyError": ExitCode.USAGE},
    "results.baseline_file": {"BaselineError": ExitCode.BASELINE},
    "results.gate": {"Incompatible": ExitCode.BASELINE},
    "results.lock": {"RunLocked": ExitCode.USAGE},
    "results.files": {"StoreError": ExitCode.STORE},
}
"""Exceptions of packages that cannot know UserError but whose messages are written for users all the same."""


DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""What the system says when a disk is full, read-only, somebody else's or broken."""


class Help(argparse.RawDescriptionHelpFormatter):
    """Prose as written, and option names in a column wide enough for ours."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


class Parser(argparse.ArgumentParser):
    """argparse whose complaints are UserErrors with the nearest match and the next command."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=Help, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        hint = ""
        if choice := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            options = [option.strip("' ") for option in choice[2].split(",")]
            hint = nearest(choice[1], options)
            message = f"'{choice[1]}' is not one of {', '.join(options)}"
        elif stray := re.search(r"unrecognized arguments: (\S+)", message):
            options = [option for action in self._actions for option in action.option_strings]
            hint = nearest(stray[1].partition("=")[0], options)
            message = f"'{stray[1]}' is not understood"
        raise UserError(f"{message.rstrip('.')}.{hint} See `{self.prog} --help`.")


def parser() -> Parser:
    """The whole grammar. Building it imports nothing heavy."""
    top = Parser(prog="langgap", description=DESCRIPTION, epilog=EXAMPLES)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command", parser_class=Parser)
    for module in (
        sweep,
        judge,
        served,
        report,
        gate,
        baseline,
        artifacts,
        evaluate,
        lape,
        listings,
        reference,
        cache,
        doctor,
    ):
        module.add(commands)
    return top


def main(argv: Sequence[str]) -> ExitCode:
    """Run one command: what it makes goes to stdout, what it says to stderr. Raises nothing but BrokenPipeError."""
    try:
        args, stray = (top := parser()).parse_known_args(argv)
        if args.command is None:
            top.print_help(sys.stderr)
            return ExitCode.USAGE
        if stray:
            args.parser.error(f"unrecognized arguments: {' '.join(stray)}")
        return args.run(args)
    except SystemExit as leaving:  # argparse, after --help
        return ExitCode(int(leaving.code or 0))
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        say(f"Interrupted. What was finished is kept; go on with: langgap {' '.join(argv)}")
        return ExitCode.INTERRUPTED
    except Exception as error:
        return explain(error)


def explain(error: Exception) -> ExitCode:
    """Say what went wrong, in one sentence where it is the user's to mend, and give the exit code for it."""
    if os.environ.get("LANGGAP_DEBUG") == "1":
        traceback.print_exception(error, file=sys.stderr)
    code = error.exit_code if isinstance(error, UserError) else _foreign(error)
    if code is not None:
        say(str(error))
        return code
    if isinstance(error, OSError) and error.errno in DISK:
        where = f"{error.filename}: " if error.filename else ""
        say(f"{where}{error.strerror}. Nothing finished was lost; make room or access and run it again.")
        return ExitCode.STORE
    say(f"This is a mistake of ours: {type(error).__name__}: {error}")
    say("LANGGAP_DEBUG=1 before the same command shows where; please report it with that.")
    return ExitCode.INTERNAL


def _foreign(error: Exception) -> ExitCode | None:
    """The exit code of an exception listed in FOREIGN. Looks only at modules that are loaded: others raised nothing."""
    for name, classes in FOREIGN.items():
        for class_name, code in classes.items():
            kind = getattr(sys.modules.get(name), class_name, None)
            if kind is not None and isinstance(error, kind):
                return code
    return None


def say(text: str) -> None:
    print(f"langgap: {text}", file=sys.stderr)
