"""Whole files written by temp and replace, so that a crash leaves the old file or none; a full disk is a sentence."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


class CannotStore(OSError):
    """The disk refused to take a file; the message says which, why and what to do."""


def write_text(path: Path, text: str) -> None:
    """A whole small file, by temp and replace."""
    _replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), len(text))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A whole safetensors file, by temp and replace."""
    size = sum(tensor.nbytes for tensor in tensors.values())
    _replace(path, lambda temporary: save_file(dict(tensors), temporary, dict(metadata)), size)


def copy_file(source: Path, path: Path, link: bool = False) -> None:
    """A copy, or where ``link`` and the file system allow it the same file under a second name."""

    def transfer(temporary: Path) -> None:
        if link:
            try:
                os.link(source.resolve(), temporary)
                return
            except OSError:
                pass  # another file system, or one without links: a copy does as well
        shutil.copyfile(source, temporary)

    _replace(path, transfer, source.stat().st_size)


def copy_companions(source: Path, target: Path) -> None:
    """Config, generation config and tokenizer files: all small text files beside the weights."""
    for path in sorted(source.iterdir()):
        if path.suffix in (".json", ".txt", ".model", ".jinja") and not path.name.endswith(".index.json"):
            copy_file(path, target / path.name)


def _replace(path: Path, write: Callable[[Path], object], size: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            temporary.unlink()
        raise cannot_store(path, size, error) from error


def cannot_store(path: Path, size: int, error: Exception) -> CannotStore:
    """A sentence for people; safetensors gives the system's reason as text only."""
    number = error.errno if isinstance(error, OSError) else None
    full = number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
    existing = next(folder for folder in (path.parent, *path.parents) if folder.is_dir())
    room = f" ({size / 1e6:,.1f} MB needed, {shutil.disk_usage(existing).free / 1e6:,.1f} MB free)"
    why = "the disk is full" + room if full else f"{getattr(error, 'strerror', None) or error}"
    what = "Free some space or name a folder on another disk" if full else "Name a folder that can be written"
    message = f"Cannot write {path}: {why}. {what}, then run the same command again; finished blocks are kept."
    return CannotStore(number or (errno.ENOSPC if full else errno.EIO), message)
