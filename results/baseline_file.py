"""A baseline on disk: a lockfile of JSON lines, one a cell, that git merges line by line and nobody edits by hand.

    {"langgap_baseline": 1}
    {"change": {date, who, why, commit, cells, what}, ...}       one for each save and update, the oldest first
    {"variant": {...}, "name": n}  {"environment": ...}  {"items": ...}  {"notes": ...}      what cells share, by digest
    {"cell": {...}, "estimates": {metric: [value, low, high]}, "columns": {quantity: [one a item]}, ...}
    {"seal": ...}

Every line ends with the digest of what stands before it, and the seal is the digest of those: a line that was edited,
and one that was lost, are told apart. After a merge in git only the seal is wrong, and `verify --seal` renews it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from results.cell import Cell, Variant, canonical_json, digest_of
from results.comparison_cells import Measured
from results.environment import Environment
from results.estimate import Estimate
from results.files import replace
from results.lines import read_json

SCHEMA = 1
SAVE = "Save one with: langgap baseline save RUN --out FILE"


class BaselineError(ValueError):
    """A baseline that is missing, damaged, altered or of another schema: one sentence with what to do."""


class SealBroken(BaselineError):
    """Every line is whole, but lines were added, lost or moved, as a merge in git does."""


@dataclass(frozen=True)
class Change:
    """Why the baseline is what it is."""

    date: str
    who: str
    why: str
    commit: str | None
    cells: int
    what: tuple[str, ...] = ()
    """What it changed, for people; nothing for the first."""


@dataclass(frozen=True)
class Baseline:
    cells: tuple[Measured, ...]
    changes: tuple[Change, ...]


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Raises StoreError. The old file stays until the new one is whole."""
    lines = [_line(value) for value in _values(baseline)]
    seal = _line({"seal": _seal(lines), "lines": len(lines)})
    replace(path, b"\n".join([*lines, seal, b""]))


def reseal(path: Path) -> Baseline:
    """Renew the seal of a file whose lines are all whole, as after a merge. Raises BaselineError."""
    lines = [line for line in _lines(path) if not line.startswith(b'{"seal":')]
    found = _parse(path, lines)
    seal = _line({"seal": _seal(lines), "lines": len(lines)})
    replace(path, b"\n".join([*lines, seal, b""]))
    return found


def read_baseline(path: Path) -> Baseline:
    """Raises BaselineError with what is wrong and where."""
    lines = _lines(path)
    schema = _schema(path, lines[0])
    if schema != SCHEMA:
        raise BaselineError(
            f"'{path}' has baseline schema {schema!r}, and this version of langgap reads schema {SCHEMA}; "
            "use the version that wrote it, or save the baseline again."
        )
    if not lines[-1].startswith(b'{"seal":'):
        raise BaselineError(
            f"'{path}' was cut short: its last line, the seal, is missing. Take the file from git again."
        )
    found = _parse(path, lines[:-1])
    seal = _value(path, len(lines), lines[-1])
    if seal["seal"] != _seal(lines[:-1]):
        raise SealBroken(
            f"'{path}' has lines that were added, lost or moved: {len(lines) - 1} lines, sealed with {seal['lines']}. "
            "After a merge in git, check them with `langgap baseline show` and renew the seal: "
            f"langgap baseline verify {path} --seal"
        )
    return found


def _values(baseline: Baseline) -> Iterable[dict[str, Any]]:
    yield {"langgap_baseline": SCHEMA}
    for change in baseline.changes:
        yield {"change": asdict(change)}
    shared: dict[str, dict[str, Any]] = {}
    cells = []
    for one in sorted(baseline.cells, key=_order):
        cells.append(_cell(one, shared))
    yield from (shared[name] for name in sorted(shared))
    yield from cells


def _order(one: Measured) -> tuple[str, ...]:
    variant = one.cell.variant
    return (
        variant.model,
        variant.method,
        canonical_json(dict(variant.params)),
        one.cell.task,
        one.cell.language,
        one.cell.key,
    )


def _cell(one: Measured, shared: dict[str, dict[str, Any]]) -> dict[str, Any]:
    def share(kind: str, value: Any) -> str:
        name = digest_of([kind, value])[:16]
        shared.setdefault(f"{kind} {name}", {kind: value, "name": name})
        return name

    cell = one.cell.to_json()
    cell["variant"] = share("variant", cell["variant"])
    value: dict[str, Any] = {"cell": cell, "artifact": one.artifact, "created": one.created}
    if one.environment is not None:
        value["environment"] = share("environment", one.environment.to_json())
    if one.notes:
        value["notes"] = share("notes", dict(one.notes))
    value["estimates"] = {name: _bounds(estimate) for name, estimate in one.estimates.items()}
    if one.ids:
        value["items"] = share("items", {"ids": one.ids, "groups": one.groups})
        value["columns"] = one.columns
    if one.anchor is not None:
        value["anchor"] = one.anchor
    return value


def _bounds(estimate: Estimate) -> list[float]:
    bounds = [] if estimate.low is None or estimate.high is None else [estimate.low, estimate.high]
    return [estimate.value, *bounds]


def _line(value: Mapping[str, Any]) -> bytes:
    content = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        "utf-8", "backslashreplace"
    )
    return content[:-1] + b',"digest":"' + _digest(content[:-1]) + b'"}'


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=8).hexdigest().encode()


def _seal(lines: Iterable[bytes]) -> str:
    return hashlib.blake2b(b"\n".join(lines), digest_size=16).hexdigest()


def _lines(path: Path) -> list[bytes]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BaselineError(f"There is no baseline '{path}'. {SAVE}") from None
    except OSError as error:
        raise BaselineError(f"The baseline '{path}' cannot be read: {error.strerror}.") from None
    lines = content.replace(b"\r\n", b"\n").split(b"\n")
    if b"<<<<<<< " in content[:8] or any(line.startswith(b"<<<<<<< ") for line in lines):
        raise BaselineError(
            f"'{path}' holds the marks of an unfinished merge in git; settle them, keeping whole lines."
        )
    lines = [line for line in lines if line]
    if not lines:
        raise BaselineError(f"'{path}' is empty. {SAVE}")
    return lines


def _schema(path: Path, line: bytes) -> object:
    try:
        return read_json(line)["langgap_baseline"]
    except (ValueError, KeyError, TypeError):
        raise BaselineError(f"'{path}' is no baseline: its first line does not say langgap_baseline. {SAVE}") from None


def _value(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """One line, whole and unaltered."""
    content, mark, digest = line.rpartition(b',"digest":"')
    try:
        value = read_json(line)
    except ValueError:
        raise BaselineError(
            f"'{path}', line {number}: cut short or damaged, no JSON. Take the file from git again."
        ) from None
    if not mark or digest != _digest(content) + b'"}':
        raise BaselineError(
            f"'{path}', line {number}: edited by hand, for its digest does not fit. A baseline is changed by "
            "`langgap baseline update --reason ...` only; take the file from git again."
        )
    return value


def _parse(path: Path, lines: list[bytes]) -> Baseline:
    shared: dict[tuple[str, str], Any] = {}
    changes, cells = [], []
    variants: dict[str, Variant] = {}
    for number, line in enumerate(lines, start=1):
        value = _value(path, number, line)
        try:
            if "cell" in value:
                cells.append((number, value))
            elif "change" in value:
                changes.append(Change(**{**value["change"], "what": tuple(value["change"]["what"])}))
            elif "name" in value:
                kind = next(key for key in ("variant", "environment", "items", "notes") if key in value)
                shared[kind, value["name"]] = value[kind]
        except (KeyError, TypeError, StopIteration) as error:
            raise BaselineError(f"'{path}', line {number}: not a line of a baseline ({error}).") from None
    environments = {
        name: Environment.from_json(value) for (kind, name), value in shared.items() if kind == "environment"
    }
    found: dict[str, Measured] = {}
    for number, value in cells:
        try:
            one = _measured(value, shared, environments, variants)
        except (KeyError, TypeError, ValueError) as error:
            raise BaselineError(f"'{path}', line {number}: not a cell of a baseline ({error}).") from None
        if one.cell.key in found:
            raise BaselineError(
                f"'{path}', line {number}: the same cell stands twice, as after a merge that kept both; keep one line."
            )
        found[one.cell.key] = one
    return Baseline(tuple(found.values()), tuple(changes))


def _measured(
    value: Mapping[str, Any],
    shared: Mapping[tuple[str, str], Any],
    environments: Mapping[str, Environment],
    variants: dict[str, Variant],
) -> Measured:
    cell = value["cell"]
    name = cell["variant"]
    if name not in variants:
        variants[name] = Variant(**shared["variant", name])
    items = shared["items", value["items"]] if "items" in value else {"ids": (), "groups": ()}
    return Measured(
        cell=Cell(**{**cell, "variant": variants[name]}),
        status="ok",
        estimates={key: _estimate(bounds) for key, bounds in value["estimates"].items()},
        artifact=value["artifact"],
        created=value["created"],
        environment=environments.get(value.get("environment", "")),
        notes=shared["notes", value["notes"]] if "notes" in value else {},
        ids=tuple(items["ids"]),
        groups=tuple(items["groups"]),
        columns={key: tuple(column) for key, column in value.get("columns", {}).items()},
        anchor={key: tuple(column) for key, column in value["anchor"].items()} if "anchor" in value else None,
    )


def _estimate(bounds: list[float]) -> Estimate:
    value, low, high = [*bounds, None, None][:3]
    return Estimate(value, low, high)  # type: ignore[arg-type]
