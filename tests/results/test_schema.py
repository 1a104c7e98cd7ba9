"""The published schema of a record line, held against lines that the store writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import results
from results.cell import Cell, Variant
from results.conversation import Conversation
from results.estimate import Estimate, Sample
from results.record import SCHEMA, Record
from results.store import Run

PATH = Path(results.__file__).parent / "schema" / f"record-{SCHEMA}.json"
PUBLISHED = json.loads(PATH.read_text(encoding="utf-8"))
TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KNOWN = {"$schema", "$defs", "$ref", "title", "description", "type", "required", "additionalProperties", "properties"}
KNOWN |= {"const", "enum", "pattern", "minimum", "maximum"}


def problems(value: Any, schema: Mapping[str, Any], where: str = "record") -> Iterator[str]:
    """What is wrong with ``value``, by the keywords our schema uses; an unknown keyword is an error of the test."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        yield from problems(value, PUBLISHED["$defs"][schema["$ref"].rsplit("/", 1)[1]], where)
        return
    if "const" in schema and (value != schema["const"] or isinstance(value, bool)):
        yield f"{where} is not {schema['const']}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is not one of {schema['enum']}"
    if "type" in schema:
        names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        allowed = tuple(kind for name in names for kind in TYPES[name])
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            yield f"{where} is no {'/'.join(names)}"
            return
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{where} does not match {schema['pattern']}"
    if isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{where} is out of range"
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{where} lacks {name}"
        others = schema.get("additionalProperties", {})
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name, others)
            if inner is False:
                yield f"{where} has {name}"
            else:
                yield from problems(item, inner, f"{where}.{name}")


@pytest.fixture
def lines(tmp_path: Path) -> list[dict[str, Any]]:
    variant = Variant("m@rev", "w" * 32, "awq", {"bits": 4, "clip": True, "x": None}, 2, "c" * 32, "en:1", 1, 7)
    cell = Cell(variant, "perplexity", 1, "ko", "t" * 32, {"corpus": "bundled"}, 3, "r" * 32)
    full = Estimate(2.0, 1.0, 3.0, 0.95, "jackknife", 15.0, 16, 1000)
    with Run.open(tmp_path, write=True) as run:
        run.append(
            Record(cell, "ok", {"perplexity": full, "p99": Estimate(1.0)}, artifact="a" * 32, seconds={"load": 0.5}),
            [Sample("id", "g", {"nats": 1.0})],
            [Conversation("q", ("yes",), ("end",), (3,))],
        )
        run.append(Record(cell, "failed", reason="NaN in layer 3", created="2026-01-01T00:00:00Z"))
        run.append(Record(Cell(Variant("m", "w", "none"), "footprint", 1, "und", ""), "skipped", reason="why"))
    return [json.loads(line) for line in (tmp_path / "records.jsonl").read_text(encoding="utf-8").splitlines()]


def test_what_the_store_writes_is_what_the_schema_says(lines: list[dict[str, Any]]) -> None:
    assert len(lines) == 3
    for line in lines:
        assert list(problems(line, PUBLISHED)) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["schema"], 2, "record.schema is not 1"),
        (["status"], "fine", "record.status is not one of"),
        (["key"], "short", "record.key does not match"),
        (["cell", "language"], None, "record.cell.language is no string"),
        (["cell", "variant", "draw"], True, "record.cell.variant.draw is no integer"),
        (["cell", "variant", "params"], {"bits": [3, 4]}, "record.cell.variant.params.bits is no"),
        (["estimates", "perplexity", "value"], "2.0", "record.estimates.perplexity.value is no number"),
        (["estimates", "perplexity", "stderr"], 0.1, "record.estimates.perplexity has stderr"),
        (["extra"], 1, "record has extra"),
    ],
)
def test_what_the_schema_refuses(lines: list[dict[str, Any]], path: list[str], value: Any, said: str) -> None:
    place = lines[0]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert any(problem.startswith(said) for problem in problems(lines[0], PUBLISHED))


def test_the_schema_names_every_field_of_our_types(lines: list[dict[str, Any]]) -> None:
    assert set(PUBLISHED["properties"]) == {field.name for field in fields(Record)} | {"key", "samples", "answers"}
    for kind, name in ((Variant, "variant"), (Cell, "cell"), (Estimate, "estimate")):
        assert set(PUBLISHED["$defs"][name]["properties"]) == {field.name for field in fields(kind)}
