"""``reference list`` and ``reference install``: the libraries that our methods are compared with."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from harness.commands._text import Commands, add_command, add_json, columns, megabytes, print_json
from harness.exits import ExitCode

REFERENCE = """
The libraries that people compress models with, run as methods called ref_...: on the same weights,
calibration tokens and texts as ours. Each runs in a process of its own, in an environment that
holds the one release of it that is supported.
"""

LIST = """
List the reference libraries: what is installed, where, and what works on this machine.

examples:
  langgap reference list
  langgap reference list --json
"""

INSTALL = """
Build the environment of a library in the cache, from pinned requirements. NAME is a library
(gptqmodel, auto-gptq ...), or an environment: reference (most of them), autoawq, autogptq.

examples:
  langgap reference install reference
  langgap reference install autogptq
"""


def add(commands: Commands) -> None:
    family = add_command(commands, "reference", "the libraries ours is compared with", REFERENCE, None)
    verbs = family.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=type(family))
    listing = add_command(verbs, "list", "what is installed and works here", LIST, run_list)
    add_json(listing)
    installing = add_command(verbs, "install", "build a library's environment", INSTALL, run_install)
    installing.add_argument("name", metavar="NAME", help="a library or an environment; see above")
    installing.add_argument("--again", action="store_true", help="build it anew where it is there already")
    add_json(installing)


def run_list(args: argparse.Namespace) -> ExitCode:
    from harness.environments import states

    found = states()
    if args.json:
        print_json([asdict(state) for state in found])
        return ExitCode.OK
    rows = [
        (state.method, f"{state.library} {state.supported}", state.installed or "-", state.where or "-", state.works)
        for state in found
    ]
    print(columns(("method", "supported", "installed", "where", "works here"), rows))
    return ExitCode.OK


def run_install(args: argparse.Namespace) -> ExitCode:
    from harness.environments import environment_of, install
    from harness.progress import reporting

    environment = environment_of(args.name)
    with reporting() as reporter:
        folder, seconds = install(environment, args.again, reporter.phase)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    if args.json:
        print_json({"environment": environment, "folder": str(folder), "seconds": round(seconds, 1), "bytes": size})
    elif seconds:
        print(f"{folder}: built in {seconds:,.0f} s, {megabytes(size)}.")
    else:
        print(f"{folder}: is there already, {megabytes(size)}. Build it anew with --again.")
    return ExitCode.OK
