"""Writes TOML for our own flat shapes; ``tomllib`` reads it back to the same value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def dumps(value: Mapping[str, Any]) -> str:
    """One document: scalars and lists first, then tables, then lists of tables, each in the order given.

    Mappings inside those tables are written inline. None cannot be written and raises TypeError.

    >>> print(dumps({"name": "x", "calibration": {"languages": {"en": 0.5}}, "method": [{"bits": 4}]}), end="")
    name = "x"
    <BLANKLINE>
    [calibration]
    languages = { en = 0.5 }
    <BLANKLINE>
    [[method]]
    bits = 4
    """
    plain = {k: v for k, v in value.items() if not isinstance(v, Mapping) and not _is_tables(v)}
    parts = [_lines(plain)] if plain else []
    parts += [f"[{_key(k)}]\n{_lines(v)}" for k, v in value.items() if isinstance(v, Mapping)]
    parts += [f"[[{_key(k)}]]\n{_lines(table)}" for k, v in value.items() if _is_tables(v) for table in v]
    return "\n".join(parts)


def inline(value: Any) -> str:
    """One value on one line."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(k)} = {inline(v)}' for k, v in value.items())} }}" if value else "{}"
    raise TypeError(f"{value!r} has no TOML form")


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(k)} = {inline(v)}\n" for k, v in table.items())


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else inline(key)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)
