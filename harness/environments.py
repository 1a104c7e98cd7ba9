"""Environments of reference libraries: built in the cache from pinned requirements, whole or not at all.

Which library is in which, and how one is found, is in ``methods/_libraries.py``: methods ask there when they run.
"""

from __future__ import annotations

import fcntl
import importlib.util
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.problems import UserError, unknown
from methods._libraries import (
    ENVIRONMENTS,
    LIBRARIES,
    Library,
    environments_folder,
    here,
    python_in,
    version_in,
)
from methods.base import Progress, silent

LAST = 12
"""So many lines of pip's log are shown where it fails."""
CPU_ONLY = {
    "ref_autoawq": "quantizes slowly on a CPU, where it tries later scales on weights already rounded",
    "ref_autogptq": "patched on a CPU",
}


@dataclass(frozen=True)
class State:
    """One reference method on this machine."""

    method: str
    library: str
    supported: str
    installed: str | None
    """The release found, whichever it is."""
    where: str
    """Folder of its environment, 'this environment', or ''."""
    works: str
    """A sentence: whether it can run here, or the command that changes that."""


def states() -> list[State]:
    """Every reference method. Nothing of a library is imported: it is looked up by its metadata."""
    found = [_state(method, library) for method, library in LIBRARIES.items()]
    ours = Library("bitsandbytes", "0.50.2", "")
    version = here(ours) if importlib.util.find_spec("bitsandbytes") else None
    works = "yes" if version else "install it with: pip install 'langgap[bitsandbytes]'"
    where = "this environment" if version else ""
    return [State("ref_bitsandbytes", ours.distribution, ours.version, version, where, works), *found]


def _state(method: str, library: Library) -> State:
    own = environments_folder() / library.environment
    install = f"langgap reference install {library.environment}"
    for version, where in ((version_in(own, library), str(own)), (here(library), "this environment")):
        if version is None:
            continue
        works = CPU_ONLY.get(method, "yes")
        if version != library.version:
            works = f"no: {library.version} is supported; install it with: {install}"
        return State(method, library.distribution, library.version, version, where, works)
    return State(method, library.distribution, library.version, None, "", f"install it with: {install}")


def environment_of(name: str) -> str:
    """The environment that a name stands for: its own, that of a library, or that of a method.

    >>> environment_of("gptqmodel"), environment_of("auto-gptq"), environment_of("ref_autoawq")
    ('reference', 'autogptq', 'autoawq')
    """
    names = {environment: environment for environment in ENVIRONMENTS}
    for method, library in LIBRARIES.items():
        names |= dict.fromkeys((method, method.removeprefix("ref_"), library.distribution), library.environment)
    if name not in names:
        raise UserError(unknown("reference library", name, names))
    return names[name]


def install(environment: str, again: bool = False, progress: Progress = silent) -> tuple[Path, float]:
    """Build an environment; return its folder and the seconds it took, 0 where it was there already.

    It is built beside its place and moved there when pip is done: what is cut short is no environment. One that holds
    other releases than the supported ones is built anew. Raises UserError with the last lines of pip's log.
    """
    folder = environments_folder() / environment
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{environment}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_current(environment, folder) and not again:
            return folder, 0.0
        began = time.perf_counter()
        shutil.rmtree(folder, ignore_errors=True)
        making = folder.parent / f".making-{environment}"
        shutil.rmtree(making, ignore_errors=True)
        requirements = ENVIRONMENTS[environment]
        # uv and pip write absolute paths of the environment into scripts only, and no script of it is ever run.
        try:
            progress(f"making the environment {environment}", 0, 2)
            _run([sys.executable, "-m", "venv", str(making)], environment, lock)
            progress(f"installing {', '.join(requirements[-3:])} ...", 1, 2)
            _run([str(python_in(making)), "-m", "pip", "install", *requirements], environment, lock)
            making.rename(folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        progress(f"installing {environment}", 2, 2)
        return folder, time.perf_counter() - began


def _is_current(environment: str, folder: Path) -> bool:
    """Whether an environment holds the supported release of every library that it is for."""
    wanted = [library for library in LIBRARIES.values() if library.environment == environment]
    return python_in(folder).exists() and all(version_in(folder, library) == library.version for library in wanted)


def _run(command: list[str], environment: str, lock: IO[str]) -> None:
    """The command holds the lock too: if we are killed, nobody builds in its place before it has ended."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        pass_fds=(lock.fileno(),),
        check=False,
    )
    if done.returncode:
        lines = done.stdout.decode("utf-8", "replace").strip().splitlines()[-LAST:]
        said = "\n  ".join(lines) or "(it printed nothing)"
        raise UserError(
            f"the environment '{environment}' could not be built; `{' '.join(command[1:4])}` ended with exit code "
            f"{done.returncode}. Its last lines:\n  {said}"
        )
