"""``report``: the page again from a run's records; measures nothing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands._text import Commands, add_command
from harness.exits import ExitCode

REPORT = """
Write report.html, plots, tables and summary.md into a run folder from its records. Nothing is
measured, no model is loaded. The page is one file that needs no network; its path goes to stdout.

examples:
  langgap report runs/default
  langgap report runs/default --lang ko --open
"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "report", "the page again from a run's records", REPORT, run)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder, such as runs/default")
    parser.add_argument("--lang", choices=("en", "ko"), default="en", help="the page's language (default: en)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> ExitCode:
    from reports.html import write_report

    page = write_report(args.run_folder, args.lang)
    print(page)
    if args.open:
        import webbrowser

        if not webbrowser.open(page.resolve().as_uri()):
            print("langgap: no browser was found; open the file above.", file=sys.stderr)
    return ExitCode.OK
