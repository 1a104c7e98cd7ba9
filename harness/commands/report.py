"""``report``: the page again from a run's records, or one page of several runs; measures nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.commands._text import Commands, add_command
from harness.exits import ExitCode
from harness.problems import UserError

REPORT = """
Write report.html, plots, tables and summary.md into a run folder from its records. Nothing is
measured, no model is loaded. The page is one file that needs no network; its path goes to stdout.

Given several runs, write one page that sets them beside the first: their variants, what moved
between them on the same texts, and what differs in what made them: versions, machine, texts.
It goes into the folder `compared` beside the first run, or where --out says.

examples:
  langgap report runs/default
  langgap report runs/default --lang ko --open
  langgap report runs/january runs/february --out runs/winter
"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "report", "the page again from a run's records", REPORT, run)
    parser.add_argument("run_folders", type=Path, metavar="RUN", nargs="+", help="a run folder, such as runs/default")
    parser.add_argument("--lang", choices=("en", "ko"), default="en", help="the page's language (default: en)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the page of several runs goes")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="also each plot as PDF and PNG, for a paper")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> ExitCode:
    page = _several(args) if len(args.run_folders) > 1 else _one(args)
    print(page)
    if args.open:
        import webbrowser

        if not webbrowser.open(page.resolve().as_uri()):
            print("langgap: no browser was found; open the file above.", file=sys.stderr)
    return ExitCode.OK


def _one(args: argparse.Namespace) -> Path:
    from reports.html import write_report

    (folder,) = args.run_folders
    if args.out is not None:
        raise UserError(f"--out is for several runs; the page of one run goes into its folder, here {folder}.")
    return write_report(folder, args.lang, figures=args.figures)


def _several(args: argparse.Namespace) -> Path:
    if args.figures is not None:
        raise UserError("--figures is for one run; a page of several runs has tables and no plots.")
    folders: Sequence[Path] = args.run_folders
    resolved = [folder.resolve() for folder in folders]
    for place, folder in enumerate(resolved):
        if folder in resolved[:place]:
            raise UserError(f"The run {folders[place]} is named twice; name each run once.")
    out = args.out or resolved[0].parent / "compared"
    if (out / "records.jsonl").is_file():
        raise UserError(f"{out} is itself a run, whose page would be lost; name another folder with --out DIR.")
    from reports.across import write_across
    from results.across import TooLittle

    try:
        return write_across(dict(zip(names(resolved), folders, strict=True)), out, args.lang)
    except TooLittle as error:
        raise UserError(str(error)) from None


def names(folders: Sequence[Path]) -> list[str]:
    """The least end of each path that tells it from the others.

    >>> names([Path("/a/runs/default"), Path("/b/runs/default"), Path("/b/other")])
    ['a/runs/default', 'b/runs/default', 'other']
    """
    found = []
    for folder in folders:
        others = [other for other in folders if other != folder]
        parts = folder.parts
        size = next(
            (n for n in range(1, len(parts)) if all(other.parts[-n:] != parts[-n:] for other in others)), len(parts)
        )
        found.append("/".join(parts[-size:]).replace("//", "/"))
    return found
