"""One driver at a time: a lock the kernel frees when its owner dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from results.files import StoreError


class RunLocked(RuntimeError):
    """Another process is writing to this run; the message says which."""


def take_lock(folder: Path) -> int:
    """An open descriptor that holds the run's lock. RunLocked says who has it; a dead owner has it no longer."""
    path = folder / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError.of(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 1000).decode(errors="replace").strip() or "a process that has just begun"
        os.close(descriptor)
        raise RunLocked(
            f"{folder} is being written by {owner}. Wait for it, or give another folder with --out."
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise StoreError.of(path, error) from error
    since = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode())
    except OSError as error:
        os.close(descriptor)
        raise StoreError.of(path, error) from error
    return descriptor


def release(descriptor: int) -> None:
    """Give a lock back. Its file stays, empty: removing it would race with a driver that has just opened it."""
    os.ftruncate(descriptor, 0)
    os.close(descriptor)
