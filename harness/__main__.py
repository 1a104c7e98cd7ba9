"""The process: what the shell gives and gets. Everything else is ``harness.cli.main``, which returns."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from harness.cli import main
from harness.exits import ExitCode


def run() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough, as in `langgap methods | head -1`. Python flushes stdout once more on its way
        # out; give it somewhere to go, or it complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.PIPE
    sys.exit(int(code))


if __name__ == "__main__":
    run()
