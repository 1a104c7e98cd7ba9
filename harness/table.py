"""Reads one TOML table strictly: takes keys by type and notes every mistake instead of stopping at the first."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from harness.problems import listed, nearest

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "an integer"),
    "float": ((int, float), "a number"),
    "str": ((str,), "a string"),
    "bool": ((bool,), "true or false"),
}


class Table:
    """A table at ``where``; mistakes go to ``problems``. Every ``take`` marks its key as known."""

    def __init__(self, value: Mapping[str, Any] | None, where: str, problems: list[str]) -> None:
        self.value: Mapping[str, Any] = value or {}
        self.where = where
        self.problems = problems
        self._taken: list[str] = []

    def problem(self, text: str) -> None:
        self.problems.append(f"{self.where}: {text}" if self.where else text)

    def take(self, key: str) -> Any:
        """The value as it stands, or None where the key is absent."""
        self._taken.append(key)
        return self.value.get(key)

    def _typed(self, key: str, kind: str, default: Any) -> Any:
        given = self.take(key)
        if given is None:
            return default
        if not fits(given, kind):
            self.problem(f"{key} is {given!r}, but must be {wanted(kind)}.")
            return default
        return given

    def text(self, key: str, default: str | None) -> str | None:
        found = self._typed(key, "str", default)
        if found == "":
            self.problem(f"{key} is empty.")
        return found or default

    def integer(self, key: str, default: int | None, least: int) -> int | None:
        found = self._typed(key, "int", default)
        if found is not None and found < least:
            self.problem(f"{key} is {found}, but must be {least} or more.")
            return default
        return found

    def number(self, key: str, least: float) -> float | None:
        found = self._typed(key, "float", None)
        if found is not None and not least <= found < float("inf"):
            self.problem(f"{key} is {found:g}, but must be {least:g} or more.")
            return None
        return None if found is None else float(found)

    def choice(self, key: str, default: str, options: Sequence[str]) -> str:
        found = self._typed(key, "str", default)
        if found not in options:
            self.problem(f"{key} is '{found}', but must be one of {listed(options)}.{nearest(found, options)}")
            return default
        return found

    def names(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of different, non-empty strings."""
        found = self.take(key)
        if found is None:
            return default
        if not isinstance(found, list | tuple) or not all(isinstance(item, str) and item for item in found):
            self.problem(f"{key} is {found!r}, but must be a list of strings.")
            return ()
        if not found:
            self.problem(f"{key} is an empty list; name at least one, or leave the key out.")
        for item in sorted({item for item in found if found.count(item) > 1}):
            self.problem(f"{key} names '{item}' twice; leave one.")
        return tuple(found)

    def table(self, key: str) -> Mapping[str, Any]:
        found = self.take(key)
        if found is None or isinstance(found, Mapping):
            return found or {}
        self.problem(f"{key} is {found!r}, but must be a table: write it under [{key}].")
        return {}

    def tables(self, key: str) -> list[Mapping[str, Any]]:
        found = self.take(key)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
            self.problem(f"{key} must be a list of tables: write each under [[{key}]], in double brackets.")
            return []
        return found

    def refuse_the_rest(self, known: Sequence[str] = (), kind: str = "key") -> None:
        """Note every key that nobody took."""
        options = list(known or self._taken)
        for key in self.value:
            if key not in self._taken:
                self.problem(f"there is no {kind} '{key}'.{nearest(key, options)} Known: {listed(options)}.")


def fits(value: Any, annotation: str) -> bool:
    """Whether a TOML value may stand where a field is annotated so. Annotations we do not know take any scalar.

    >>> fits(4, "int"), fits(True, "int"), fits(4, "float | None"), fits("nf5", "Literal['nf4', 'int8']")
    (True, False, True, False)
    """
    choices = _choices(annotation)
    if choices:
        return value in choices
    kinds = [_KINDS[kind][0] for kind in _alternatives(annotation) if kind in _KINDS]
    if not kinds:
        return isinstance(value, str | int | float | bool)
    if isinstance(value, bool):
        return (bool,) in kinds
    return any(isinstance(value, kind) for kind in kinds)


def wanted(annotation: str) -> str:
    """The words for what ``fits``.

    >>> wanted("int | None"), wanted("Literal['nf4', 'int8']")
    ('an integer', "'nf4' or 'int8'")
    """
    choices = _choices(annotation)
    if choices:
        return " or ".join(map(repr, choices))
    return " or ".join(_KINDS[kind][1] for kind in _alternatives(annotation) if kind in _KINDS) or "a single value"


def _alternatives(annotation: str) -> list[str]:
    return [part.strip() for part in annotation.split("|")]


def _choices(annotation: str) -> tuple[Any, ...]:
    """The values of ``Literal[...]``, or none."""
    if not annotation.startswith("Literal["):
        return ()
    inside = ast.literal_eval(f"({annotation.removeprefix('Literal[').rstrip(']')},)")
    return tuple(inside)


def refuse_twins(top: Table, kind: str, specs: Sequence[Any]) -> None:
    """Methods or tasks, each with ``name`` and ``params``, of which two are alike."""
    for index, spec in enumerate(specs):
        if specs.index(spec) < index:
            params = ", ".join(f"{key}={value}" for key, value in spec.params.items()) or "no parameters"
            top.problem(f"the {kind} {spec.name} with {params} is asked for twice; leave one.")
