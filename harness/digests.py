"""The identity of an original model: a digest of its tensors, config and tokenizer, remembered while the files stay."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from results.cell import canonical_json

TOKENIZER_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
REMEMBERED = 1000
"""So many digests are kept; the oldest are forgotten first."""
_PIECE = 8 * 1024**2


def folder_digest(folder: Path, cache: Path) -> str:
    """Digest of a transformers folder: each tensor's name, dtype, shape and bytes, the config, the tokenizer's files.

    How the tensors are spread over files does not matter. 32 hex digits. Raises ValueError for a safetensors file
    that is cut short, naming it.
    """
    weights = sorted(folder.glob("*.safetensors"))
    others = [folder / name for name in ("config.json", *TOKENIZER_FILES) if (folder / name).exists()]

    def compute() -> str:
        state = hashlib.blake2b(digest_size=16)
        tensors = {name: digest for path in weights for name, digest in _tensor_digests(path)}
        for name in sorted(tensors):
            state.update(f"{name} {tensors[name]}\n".encode())
        for path in others:
            content = path.read_bytes()
            if path.name == "config.json":
                content = canonical_json(json.loads(content)).encode()
            state.update(f"{path.name} {hashlib.blake2b(content, digest_size=16).hexdigest()}\n".encode())
        return state.hexdigest()

    return remembered("folder", [*weights, *others], cache, compute)


def file_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of a file, remembered while inode, size and time of change stay the same."""

    def compute() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return remembered("sha256", [path], cache, compute)


def remembered(kind: str, paths: Iterable[Path], cache: Path, compute: Callable[[], str]) -> str:
    """``compute()``, unless it was computed for these very files: same names, inodes, sizes and times of change."""
    seen = [(path.name, (stat := path.stat()).st_ino, stat.st_size, stat.st_mtime_ns) for path in paths]
    key = hashlib.blake2b(canonical_json([kind, seen]).encode(), digest_size=16).hexdigest()
    file = cache / "digests.json"
    known = _known(file)
    if key not in known:
        digest = compute()
        known = {**_known(file), key: digest}  # read again: others may have written meanwhile
        _replace(file, json.dumps(dict(list(known.items())[-REMEMBERED:]), indent=0))
    return known[key]


def _known(file: Path) -> dict[str, str]:
    """What is remembered; nothing, if the file is missing or damaged: it is made again from the models themselves."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def _tensor_digests(path: Path) -> list[tuple[str, str]]:
    """(name, digest of dtype, shape and bytes) of each tensor in a safetensors file, read in pieces."""
    with path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(f"{path} is cut short")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise ValueError(f"{path} has a damaged header") from error
        found = []
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            if 8 + length + end > size:
                raise ValueError(f"{path} is cut short: tensor {name!r} lies past its end")
            state = hashlib.blake2b(f"{entry['dtype']} {entry['shape']} ".encode(), digest_size=16)
            file.seek(8 + length + begin)
            for at in range(begin, end, _PIECE):
                state.update(file.read(min(_PIECE, end - at)))
            found.append((name, state.hexdigest()))
    return found
