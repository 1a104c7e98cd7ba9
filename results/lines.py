"""One line of a run's files, as bytes and as values: the part of the store that knows JSON and schemas."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from results.cell import Cell, Variant
from results.estimate import Estimate, Sample
from results.record import SCHEMA, Record

SAMPLES, ANSWERS = "samples", "answers"
"""Folders of files that a record points at, and what its line calls them."""


class Line(NamedTuple):
    """One parsed line of records.jsonl and where it stands."""

    number: int
    value: dict[str, Any]


def migrate(value: dict[str, Any]) -> dict[str, Any]:
    """A record's JSON of any known schema as JSON of the present one. Raises ValueError for an unknown schema."""
    schema = value.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise ValueError(f"its schema is {schema!r}, and schemas are numbered 1 to {SCHEMA}")
    if schema > SCHEMA:
        raise ValueError(
            f"its schema is {schema}, and this version of langgap reads schemas 1 to {SCHEMA}; install a newer langgap"
        )
    return value


def record_of(value: Mapping[str, Any], variants: dict[str, Variant]) -> Record:
    """The Record of a line; equal variants are built once, so that their keys are hashed once.

    Raises KeyError, TypeError, ValueError or AttributeError for what is no record.
    """
    fields = {k: v for k, v in value.items() if k not in ("key", "cell", "estimates", SAMPLES, ANSWERS)}
    cell = dict(value["cell"])
    name = str(cell["variant"])
    if name not in variants:
        variants[name] = Variant(**cell["variant"])
    estimates = {name: Estimate(**e) for name, e in value["estimates"].items()}
    return Record(cell=Cell(**{**cell, "variant": variants[name]}), estimates=estimates, **fields)


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def line_bytes(value: Mapping[str, Any]) -> bytes:
    # A lone surrogate (a model may write one) becomes its JSON escape and so survives the way to disk and back.
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def sample_bytes(samples: Iterable[Sample]) -> bytes:
    rows = ({k: v for k, v in sample.__dict__.items() if v is not None} for sample in samples)
    return b"".join(line_bytes({**row, "quantities": dict(row["quantities"])}) for row in rows)


def read_json(content: bytes) -> Any:
    """What a JSON text holds, by orjson, in a third of the time. ValueError where it is none.

    What orjson refuses, such as the escape of a lone surrogate, is left to the standard library.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return json.loads(str(content, "utf-8"))  # of bytes it would guess the encoding


def values_of(content: bytes) -> list[dict[str, Any]]:
    """What the lines of a file hold: one text for the parser, which thousands of calls would wait for.

    Within a line a line break is an escape, so every one ends a line.
    """
    found: list[dict[str, Any]] = read_json(b"[" + content.rstrip().replace(b"\n", b",") + b"]")
    return found


def parsed(together: Iterable[Sequence[bytes]]) -> Iterator[tuple[bytes, dict[str, Any] | ValueError]]:
    """Each line and the object that it holds, or what is wrong with the line.

    Lines that come together are one text for the parser, which shares names within a text: a large run takes two thirds
    of the memory. A null between two of them keeps damaged ones from passing for whole ones by completing each other.
    """
    for lines in together:
        try:
            values = read_json(b"[" + b",null,".join(lines) + b"]")
        except ValueError:
            values = []
        found, between = values[::2], values[1::2]
        if len(found) == len(lines) and between == [None] * (len(lines) - 1) and all(type(it) is dict for it in found):
            yield from zip(lines, found, strict=True)
        else:
            yield from ((line, _parsed(line)) for line in lines)


def _parsed(line: bytes) -> dict[str, Any] | ValueError:
    try:
        value = read_json(line.removesuffix(b"\n"))
    except ValueError as error:
        return error
    return value if isinstance(value, dict) else ValueError("it is not a JSON object")
