"""Leases: of all who share a cache folder, on one machine or many, one makes an entry and the others wait for it.

A lease is a small file beside the entry, which its holder touches every few seconds. One that a waiter has watched for
a minute without a touch was its holder's who died: whoever waits may take it over. On the holder's own machine its
death is seen at once. What counts is that the file's time changes, not what it says, and the minute is the waiter's
own: clocks of machines and of file servers differ, and jump. Locks of the kernel would do on one machine; between
machines they depend on how a folder is mounted.
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
from typing import NamedTuple

SUFFIX = ".lease"
EXPIRES = 60.0
"""Seconds without a sign of life after which a lease is anyone's, by the clock of who waits for it."""
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
    pause, seen, since = LOOK, None, time.monotonic()
    while not _take(path, holder):
        if (now := _seen(path)) != seen:
            seen, since = now, time.monotonic()
        silent = time.monotonic() - since
        if seen and (silent > expires or _is_dead(seen.holder)):
            _clear(path, seen.holder, stuck=silent > 2 * expires)
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
        found = _seen(path)
        if found and found.holder == holder:
            path.unlink(missing_ok=True)


def is_held(entry: Path) -> bool:
    """Whether somebody is making this entry right now, as far as a single look can tell."""
    path = entry.with_name(f"{entry.name}{SUFFIX}")
    found = _seen(path)
    if found is None or _is_dead(found.holder):
        return False
    return _lives_here(found.holder) or _age(path) <= EXPIRES


class _Seen(NamedTuple):
    """A lease at one look. It changes whenever its holder touches it."""

    holder: str
    """Place, process and a word of its own; empty in a file that is being made, or whose maker died making it."""
    touched: int
    """By whatever clock: only good for telling two looks apart."""


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
    except OSError:  # a full disk has room for a name and none for what is in it
        path.unlink(missing_ok=True)
        raise
    return True


def _live(path: Path, stop: threading.Event, beat: float) -> None:
    while not stop.wait(beat):
        with suppress(OSError):
            os.utime(path)


def _seen(path: Path) -> _Seen | None:
    """The lease as it is now; None where there is none."""
    try:
        return _Seen(path.read_text(encoding="utf-8"), path.stat().st_mtime_ns)
    except FileNotFoundError:
        return None


def _is_dead(holder: str) -> bool:
    """Whether the holder is a process of this machine that is no more."""
    process = _process_here(holder)
    return process is not None and not _lives(process)


def _lives_here(holder: str) -> bool:
    process = _process_here(holder)
    return process is not None and _lives(process)


def _process_here(holder: str) -> int | None:
    """The holder's process number, where that means something: on this machine."""
    place, _, rest = holder.partition(" ")
    process = rest.partition(" ")[0]
    return int(process) if place == _place() and process.isdigit() else None


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, and alive
    return True


def _age(path: Path) -> float:
    """Seconds since a file was last touched, by its own file system's clock: those of machines differ."""
    now = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    now.touch()
    try:
        return now.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        now.unlink()


def _clear(path: Path, holder: str, stuck: bool) -> None:
    """Take an abandoned lease away. Of all who see it abandoned one may: the one that makes the mark named after it.

    ``stuck``: the lease stood there for so long that whoever made a mark that is there has died over it.
    """
    mark = path.with_name(f".{path.name}.{holder.rpartition(' ')[2]}.abandoned")
    try:
        mark.mkdir()
    except FileExistsError:
        if stuck:
            with suppress(OSError):
                mark.rmdir()
        return
    try:
        found = _seen(path)
        if found and found.holder == holder:
            path.unlink(missing_ok=True)
    finally:
        mark.rmdir()
