"""``cache list`` and ``cache prune``."""

from __future__ import annotations

import argparse
import sys
import time

from harness.cache import DAY, KINDS, entries, prune, seconds
from harness.commands._text import Commands, add_cache, add_command, add_json, columns, megabytes, print_json
from harness.exits import ExitCode
from harness.problems import UserError

CACHE = """
The cache holds what a sweep would otherwise make again: compressed models, moments, hidden states,
dequantized originals. Run folders do not depend on it: removing everything loses only time.
"""

LIST = """
List what the cache holds, how big it is and when it was last used.

examples:
  langgap cache list
  langgap cache list --json
"""

PRUNE = """
Remove what has not been used for a while, or all of a kind, or all. Runs and their numbers stay.

examples:
  langgap cache prune --older-than 30d
  langgap cache prune --kind artifacts --older-than 1w
  langgap cache prune --all
"""


def add(commands: Commands) -> None:
    family = add_command(commands, "cache", "see what is kept between sweeps, or make room", CACHE, None)
    verbs = family.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=type(family))
    listing = add_command(verbs, "list", "what the cache holds", LIST, run_list)
    pruning = add_command(verbs, "prune", "remove old or all entries", PRUNE, run_prune)
    pruning.add_argument("--older-than", metavar="TIME", help="unused for so long: 12h, 30d, 8w")
    pruning.add_argument("--kind", choices=KINDS, help="only these")
    pruning.add_argument("--all", action="store_true", help="whatever their age")
    pruning.add_argument("--dry-run", action="store_true", help="say what would go, remove nothing")
    for parser in (listing, pruning):
        add_cache(parser)
        add_json(parser)


def run_list(args: argparse.Namespace) -> ExitCode:
    found = entries(args.cache)
    if args.json:
        print_json(
            [
                {
                    "kind": e.kind,
                    "digest": e.digest,
                    "bytes": e.bytes,
                    "used": e.used,
                    "what": e.what,
                    "damaged": e.damaged,
                }
                for e in found
            ]
        )
        return ExitCode.OK
    if found:
        rows = [
            (e.kind, e.digest[:16], megabytes(e.bytes), _ago(e.used), f"DAMAGED: {e.damaged}" if e.damaged else e.what)
            for e in found
        ]
        print(columns(("kind", "digest", "size", "last used", "what it is"), rows), end="\n\n")
    print(f"{args.cache}: {len(found)} entries, {megabytes(sum(e.bytes for e in found))}.")
    return ExitCode.OK


def run_prune(args: argparse.Namespace) -> ExitCode:
    if not args.all and args.older_than is None and args.kind is None:
        raise UserError("Say what may go: --older-than 30d, --kind artifacts, or --all.")
    if args.all and args.older_than is not None:
        raise UserError("--all and --older-than say different things; give one.")
    try:
        age = seconds(args.older_than) if args.older_than else None
    except ValueError as error:
        raise UserError(f"--older-than: {error}.") from None
    gone = prune(args.cache, age, args.kind, args.dry_run)
    freed = sum(entry.bytes for entry in gone)
    if args.json:
        print_json({"removed": [f"{e.kind}/{e.digest}" for e in gone], "bytes": freed, "dry_run": args.dry_run})
    else:
        for entry in gone:
            print(f"{entry.kind}/{entry.digest}  {megabytes(entry.bytes)}  {entry.what}", file=sys.stderr)
        print(f"{len(gone)} entries {'would go' if args.dry_run else 'removed'}, {megabytes(freed)} freed.")
    return ExitCode.OK


def _ago(moment: float) -> str:
    """
    >>> _ago(time.time() - 3 * DAY), _ago(time.time() - 7200)
    ('3 days ago', '2 hours ago')
    """
    passed = max(0.0, time.time() - moment)
    count, unit = (passed / DAY, "day") if passed >= DAY else (passed / 3600, "hour")
    return f"{count:.0f} {unit}{'' if f'{count:.0f}' == '1' else 's'} ago"
