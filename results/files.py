"""Writing that survives a crash: whole lines appended, whole files replaced, both on disk when the call returns."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Self

TOGETHER = 1000
"""Lines that are read at once, and no more: a large run is never in memory as text."""


class StoreError(OSError):
    """A run cannot be written. One sentence with the cause; what was recorded before is whole."""

    @classmethod
    def of(cls, path: Path, error: OSError) -> Self:
        return cls(
            f"{path} cannot be written ({error.strerror or error}); nothing recorded so far is lost: "
            "make room or mend the folder's permissions, then run the same command again to go on"
        )


def create_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError.of(folder, error) from error


def append_line(path: Path, line: bytes) -> None:
    """Append one whole line and wait for the disk. On failure the file is cut back to its whole lines."""
    try:
        fresh = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError.of(path, error) from error
    try:
        size = os.fstat(descriptor).st_size
        try:
            _write_all(descriptor, line)
            os.fsync(descriptor)
        except BaseException as error:  # Ctrl-C too: the next line must not join half of this one
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            if isinstance(error, OSError):
                raise StoreError.of(path, error) from error
            raise
    finally:
        os.close(descriptor)
    if fresh:
        _sync_folder(path.parent)


def replace(path: Path, content: bytes) -> None:
    """Write a whole file: readers see the old one or the new one, never a part."""
    create_folder(path.parent)
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            _write_all(descriptor, content)
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StoreError.of(path, error) from error
        raise
    _sync_folder(path.parent)


def read_lines(path: Path) -> Iterator[list[bytes]]:
    """All lines, ``TOGETHER`` at a time, with their newlines: only the last has none, if its write was torn."""
    with path.open("rb", buffering=1 << 20) as file:
        while lines := list(islice(file, TOGETHER)):
            yield lines


def file_digest(path: Path) -> str | None:
    """Sixteen bytes of BLAKE2 over a file's content, as 32 hex digits; None where there is no file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def repair(path: Path, size: int) -> None:
    """Cut a file back to its first ``size`` bytes."""
    try:
        with path.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError.of(path, error) from error


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    """Make a new name durable, where the file system lets us."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems cannot; the content itself is synced
    finally:
        os.close(descriptor)
