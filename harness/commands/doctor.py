"""``doctor``: is everything in place?"""

from __future__ import annotations

import argparse

from harness.commands._text import Commands, add_cache, add_command, add_json, columns, print_json
from harness.exits import ExitCode

DOCTOR = """
Check Python, libraries against their pins, processor, memory, disk, the bundled model, optional
libraries, fonts and the hub. A note says what some use would need; only a problem, which would
stop a sweep, makes the exit code 2.
"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "doctor", "is everything in place?", DOCTOR, run)
    add_cache(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> ExitCode:
    from harness.doctor import examine

    checks = list(examine(args.cache))
    if args.json:
        print_json([vars(check) for check in checks])
    else:
        print(columns(("", "what", "found"), [(check.state, check.name, check.found) for check in checks]))
        steps: dict[str, list[str]] = {}
        for check in checks:
            if check.next_step:
                steps.setdefault(check.next_step, []).append(check.name)
        print("\nAll is well." if not steps else "\nNext steps:")
        for step, names in steps.items():
            print(f"  {', '.join(names)}: {step}")
    return ExitCode.USAGE if any(check.state == "problem" for check in checks) else ExitCode.OK
