"""What the process says to the shell when it ends."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0  # everything asked for was done
    REGRESSED = 1  # gate: something became worse than its baseline allows
    USAGE = 2  # the user's mistake: a name, a value, a file
    INCOMPLETE = 3  # some cells failed or a budget was reached; with --strict skipped cells count too
    INCONCLUSIVE = 4  # gate: too noisy to tell, and the policy makes that block
    BASELINE = 5  # baseline missing or incompatible, or a blocking cell is missing
    STORE = 6  # the run folder cannot be written
    INTERNAL = 70  # a mistake of ours
    INTERRUPTED = 130  # Ctrl-C, the shell's own number for it
    PIPE = 141  # whoever read our output closed it, the shell's own number for it
