"""A program of somebody else in a process of its own: a job folder in, a checkpoint and a result file out.

::

    job.json              method, parameters, model folder, dtype, device
    tokens.safetensors    calibration token ids, int64 (n, length); absent where the method reads none
    checkpoint/           written by the worker
    result.json           written by the worker, last: notes and what it took, or how it failed
    log.txt               all that it printed

A worker that crashes, hangs, runs out of memory or writes garbage ends in one exception with its last lines. It leads
a process group of its own in which a guardian (``_worker_child``) waits on a pipe that only we hold open: when we are
gone, however that came, the pipe closes and the guardian kills the group. A parent-death signal would not do: it comes
when the *thread* that started the worker ends, and does not reach the worker's own children.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from methods.base import MissingLibrary, UnsupportedModel

CHILD = Path(__file__).with_name("_worker_child.py")
LOG, RESULT = "log.txt", "result.json"
LINES, WIDTH = 4, 130
"""How much of the end of a log goes into a message."""
OURS = {error.__name__: error for error in (MissingLibrary, UnsupportedModel)}
"""Exceptions of a worker that are raised here as they are: their messages are written for users."""
OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|MemoryError", re.IGNORECASE)
NO_CUDA = re.compile(r"not compiled with CUDA|no CUDA GPUs|CUDA is not available|found no NVIDIA driver", re.IGNORECASE)


class WorkerFailed(ValueError):
    """A worker did not bring what it was asked for; the message says why, with the last lines it printed."""


@dataclass(frozen=True)
class Result:
    notes: Mapping[str, str] = field(default_factory=dict)
    """What the library said or did, for every record."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Distribution -> release, in the worker's environment."""
    seconds: float = 0.0
    """For the library's own work, loading excluded."""
    peak_bytes: int = 0
    """The most memory the process held at once."""


def run(job: Path, python: Path, who: str, limit: float) -> Result:
    """Have ``python`` do the job in folder ``job``; wait at most ``limit`` seconds.

    ``who`` is the library's name for messages. Raises WorkerFailed; MissingLibrary and UnsupportedModel where the
    worker says so. Whatever happens, no process of the worker's group is left.
    """
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    # What a library compiles for itself stays in the job: a compiler that is stopped leaves a lock that all wait for.
    environment["TORCH_EXTENSIONS_DIR"] = str(job.absolute() / "extensions")
    with (job / LOG).open("wb") as log:
        # -P: the child's own folder, which has files called awq.py and gptq.py, must not come before libraries.
        process = subprocess.Popen(
            [str(python), "-P", str(CHILD), str(job.absolute())],
            cwd=job,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    if code is None:
        raise WorkerFailed(f"{who} was stopped after {limit:,.0f} seconds without a result{_last_lines(job)}")
    return _result(job, who, code)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()


def _result(job: Path, who: str, code: int) -> Result:
    """What the worker says, checked. A result file is believed only from a process that ended well."""
    try:
        said: Any = json.loads((job / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        said = None
    except (OSError, ValueError):
        said = "damaged"
    if isinstance(said, dict) and "error" in said:
        raise _reported(said["error"], job, who)
    if code < 0:
        why = " (the kernel does that when memory runs out)" if -code == signal.SIGKILL else ""
        name = signal.Signals(-code).name
        raise WorkerFailed(f"{who} was ended by {name}{why}{_last_lines(job)}")
    if code != 0:
        raise WorkerFailed(f"{who} ended with exit code {code}{_last_lines(job)}")
    if said is None:
        raise WorkerFailed(f"{who} ended without a result{_last_lines(job)}")
    try:
        return Result(**said)
    except TypeError:
        raise WorkerFailed(f"{who} wrote a result that cannot be read{_last_lines(job)}") from None


def _reported(error: Mapping[str, str], job: Path, who: str) -> Exception:
    """The exception for a failure that the worker could still write down."""
    kind, message = str(error.get("type")), " ".join(str(error.get("message")).split())
    if kind in OURS:
        return OURS[kind](message)
    if NO_CUDA.search(message):
        return MissingLibrary(f"{who} needs a CUDA device for this, and there is none here ({message[:WIDTH]}).")
    if OUT_OF_MEMORY.search(f"{kind} {message}"):
        return WorkerFailed(f"{who} ran out of memory ({message[:WIDTH]}){_last_lines(job)}")
    return WorkerFailed(f"{who} failed with {kind}: {message[: 2 * WIDTH]}{_last_lines(job)}")


def _last_lines(job: Path) -> str:
    """The end of the log as part of a sentence; progress bars count as the line they end as."""
    try:
        text = (job / LOG).read_bytes()[-20_000:].decode("utf-8", "replace")
    except OSError:
        text = ""
    lines = [line.rpartition("\r")[2].strip() for line in text.split("\n")]
    last = [line[:WIDTH] for line in lines if line][-LINES:]
    return f"; its last lines: {' | '.join(last)}" if last else "; it printed nothing"
