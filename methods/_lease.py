"""Leases: of all who share a cache folder, on one machine or many, one makes an entry and the others wait for it.

A lease is a small file beside the entry, which its holder touches every few seconds. One that nobody has touched for a
minute, by the clock of the file system that holds it, was its holder's who died: whoever waits may take it over. On
the holder's own machine its death is seen at once. Locks of the kernel would do on one machine; between machines they
depend on how a folder is mounted.
"""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".lease"
EXPIRES = 60.0
"""Seconds without a sign of life after which a lease is anyone's."""
BEAT = 10.0
"""Seconds between signs of life."""
LOOK = 0.1
"""Seconds between a waiter's looks; they grow to a second."""


@contextmanager
def lease(entry: Path, expires: float = EXPIRES, beat: float = BEAT) -> Iterator[None]:
    """Hold the lease on ``entry``, a file or folder that need not exist, waiting until it is free.

    Raises OSError where the folder cannot be written.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    path = entry.with_name(f"{entry.name}{SUFFIX}")
    holder = f"{_place()} {os.getpid()} {uuid.uuid4().hex}"
    pause = LOOK
    while not _take(path, holder):
        if _is_abandoned(path, expires):
            _clear(path, expires)
        else:
            time.sleep(pause)
            pause = min(1.0, 1.5 * pause)
    stop = threading.Event()
    alive = threading.Thread(target=_live, args=(path, stop, beat), daemon=True)
    alive.start()
    try:
        yield
    finally:
        stop.set()
        alive.join()
        if _holder(path) == holder:
            path.unlink(missing_ok=True)


def is_held(entry: Path) -> bool:
    """Whether somebody is making this entry right now."""
    path = entry.with_name(f"{entry.name}{SUFFIX}")
    return path.exists() and not _is_abandoned(path, EXPIRES)


def _place() -> str:
    """Where a process number means something: the machine since it started, and the container."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    return platform.node().replace(" ", "-")


def _take(path: Path, holder: str) -> bool:
    """Make the lease file if there is none."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(holder)
    except FileExistsError:
        return False
    return True


def _live(path: Path, stop: threading.Event, beat: float) -> None:
    while not stop.wait(beat):
        with suppress(OSError):
            os.utime(path)


def _holder(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _is_abandoned(path: Path, expires: float) -> bool:
    holder = _holder(path)
    if holder is None:
        return False  # given back: it can be taken
    place, _, rest = holder.partition(" ")
    process = rest.partition(" ")[0]  # nothing in a file that is just being made, or whose maker died making it
    return (place == _place() and process.isdigit() and not _lives(int(process))) or _age(path) > expires


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, and alive
    return True


def _age(path: Path) -> float:
    """Seconds since a file was last touched, by its own file system's clock: those of machines differ, and jump."""
    now = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    now.touch()
    try:
        return now.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        now.unlink()


def _clear(path: Path, expires: float) -> None:
    """Take an abandoned lease away. Of all who see it abandoned one may: the one that makes the mark named after it."""
    holder = _holder(path)
    if holder is None:
        return
    mark = path.with_name(f".{path.name}.{holder.rpartition(' ')[2]}.abandoned")
    try:
        mark.mkdir()
    except FileExistsError:
        if _age(mark) > expires:  # who made it died over it
            with suppress(OSError):
                mark.rmdir()
        return
    try:
        if _holder(path) == holder:
            path.unlink(missing_ok=True)
    finally:
        mark.rmdir()
