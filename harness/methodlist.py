"""The [calibration] and [[method]] tables of a sweep file: a method with a list of values is a grid of variants."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import methods
from harness.languages import is_code, not_a_code
from harness.problems import unknown
from harness.specs import CalibrationSpec, MethodSpec
from harness.table import Table, fits, refuse_twins, wanted
from results.cell import Scalar


def methods_of(top: Table, calibration: CalibrationSpec, problems: list[str]) -> tuple[MethodSpec, ...]:
    """Every variant that is asked for, in the order of the file."""
    tables = top.tables("method")
    if not tables:
        top.problem("it names no method: add a [[method]] table, or --method; `langgap methods` lists them.")
    specs: list[MethodSpec] = []
    for number, value in enumerate(tables, start=1):
        table = Table(value, f"[[method]] {number}", problems)
        name = table.text("name", None)
        if name is None:
            table.problem(f"it has no name. Known methods: {', '.join(methods.names())}.")
        elif name not in methods.names():
            table.problem(unknown("method", name, methods.names()))
        else:
            specs += _variants(table, name, calibration)
    refuse_twins(top, "method", [replace(spec, label=None) for spec in specs])
    return tuple(specs)


def _variants(table: Table, name: str, calibration: CalibrationSpec) -> list[MethodSpec]:
    """One [[method]] table -> a MethodSpec for every point of its grid, the last list varying fastest."""
    table.where += f" ({name})"
    own = table.take("calibration")
    if own is not None and not isinstance(own, Mapping):
        table.problem(f"calibration is {own!r}, but must be a table, such as {{ languages = {{ ko = 1 }} }}.")
        own = None
    if own is not None and not methods.needs(name):
        table.problem(f"{name} reads no calibration text, so it cannot have a calibration of its own.")
    spec = read_calibration(Table(own, f"{table.where} calibration", table.problems), calibration) if own else None
    label = table.text("label", None)
    axes: dict[str, list[Scalar]] = {}
    for key, parameter in methods.fields(name).items():
        given = table.take(key)
        values = given if isinstance(given, list) else [parameter.default if given is None else given]
        if not values:
            table.problem(f"{key} is an empty list; a list is a grid of values to try.")
        for value in values:
            if not (given is None or fits(value, parameter.type)):
                table.problem(f"{key} is {value!r}, but must be {wanted(parameter.type)}.")
        axes[key] = [float(v) if "float" in parameter.type and type(v) is int else v for v in values]
    table.refuse_the_rest(("name", "calibration", "label", *axes), "parameter")
    points = [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]
    if label is not None and len(points) > 1:
        table.problem(f"the label '{label}' would name {len(points)} variants; give it to one.")
    return [MethodSpec(name, params, spec, label) for params in points]


def read_calibration(table: Table, base: CalibrationSpec) -> CalibrationSpec:
    """A [calibration] table, or a method's own one over ``base``."""
    weights = table.take("languages")
    if isinstance(weights, list):
        weights = dict.fromkeys(weights, 1.0) if all(isinstance(code, str) for code in weights) else None
        if not weights:
            table.problem("languages is a list that is empty or holds more than codes; write { en = 0.5, ko = 0.5 }.")
    elif weights is not None and not isinstance(weights, Mapping):
        table.problem(f"languages is {weights!r}, but must be codes with weights, such as {{ en = 0.5, ko = 0.5 }}.")
        weights = None
    spec = CalibrationSpec(
        corpus=table.text("corpus", base.corpus) or base.corpus,
        sequences=table.integer("sequences", base.sequences, least=1) or base.sequences,
        length=table.integer("length", base.length, least=2) or base.length,
        languages=base.languages if weights is None else _weights(table, weights),
    )
    table.refuse_the_rest()
    return spec


def _weights(table: Table, weights: Mapping[str, Any]) -> dict[str, float]:
    for code, weight in weights.items():
        if not is_code(code):
            table.problem(f"languages: {not_a_code(code)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            table.problem(f"languages: the weight of {code} is {weight!r}, but must be a number, 0 or more.")
            return {}
    if not sum(weights.values()):
        table.problem("languages: at least one weight must be more than 0.")
        return {}
    return {code: float(weight) for code, weight in weights.items()}
