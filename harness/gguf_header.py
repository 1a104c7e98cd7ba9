"""What stands at the beginning of a GGUF file: metadata and the table of tensors. All values are little-endian."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.problems import UserError


class UnreadableGGUF(UserError):
    """This GGUF file is damaged, or holds something we do not know how to read."""


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    """Slowest dimension first, as torch has it."""
    kind: int
    """A ``gguf.GGMLQuantizationType``."""
    offset: int
    """Bytes from the beginning of the file."""


@dataclass(frozen=True)
class Header:
    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture"))

    def get(self, key: str, default: Any = None) -> Any:
        """A value of this architecture, such as ``block_count``."""
        return self.metadata.get(f"{self.architecture}.{key}", default)


# format character of each scalar type of GGUF; 8 is a string, 9 an array
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class _Cursor:
    """A position in the file's bytes."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values

    def string(self) -> str:
        (length,) = self.take("Q")
        raw = bytes(self.data[self.at : self.at + length])
        if len(raw) != length:
            raise struct.error("a string runs past the end of the file")
        self.at += length
        return raw.decode("utf-8", errors="replace")

    def value(self, kind: int) -> Any:
        if kind == 8:
            return self.string()
        if kind == 9:
            element, count = self.take("IQ")
            if element in (8, 9):
                return [self.value(element) for _ in range(count)]
            return list(self.take(f"{count}{_SCALARS[element]}"))
        return self.take(_SCALARS[kind])[0]


def read_header(path: Path) -> Header:
    """All metadata and the table of tensors. Raises UnreadableGGUF for a file that is no GGUF or is cut short."""
    try:
        cursor = _Cursor(memoryview(np.memmap(path, mode="r", dtype=np.uint8).data))
        magic, version, tensor_count, metadata_count = cursor.take("4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise UnreadableGGUF(f"{path} is no GGUF file of version 2 or 3 (it begins with {magic!r}).")
        metadata: dict[str, Any] = {}
        for _ in range(metadata_count):
            key = cursor.string()
            metadata[key] = cursor.value(cursor.take("I")[0])
        table = []
        for _ in range(tensor_count):
            name = cursor.string()
            dimensions = cursor.take(f"{cursor.take('I')[0]}Q")
            table.append((name, tuple(reversed(dimensions)), *cursor.take("IQ")))
    except (struct.error, KeyError, ValueError, MemoryError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UnreadableGGUF(f"{path} is cut short or damaged ({error}); fetch it again.") from error
    alignment = metadata.get("general.alignment", 32)
    start = -(-cursor.at // alignment) * alignment
    return Header(metadata, tuple(Tensor(n, shape, kind, start + offset) for n, shape, kind, offset in table))
