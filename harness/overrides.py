"""What the command line says over a sweep file: both are one mapping, so that their mistakes are told together."""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from harness.problems import UserError

QUICK_LIMIT = 3
"""Passages per language under ``--quick``: one from each of three source languages."""

PLAIN = ("limit", "draws", "out", "seed", "dtype", "device", "executor")
"""Options that replace the key of their own name."""


def overridden(mapping: Mapping[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """A sweep file's content with the options that were given in place of its keys.

    ``--model``, ``--method``, ``--task`` and ``--languages`` replace the file's lists, they do not add to them.
    """
    result = dict(mapping)
    if args.quick:
        limit = mapping.get("limit", QUICK_LIMIT)
        result["limit"] = min(limit, QUICK_LIMIT) if isinstance(limit, int) else limit
        result["draws"] = 1
    for key in PLAIN:
        if getattr(args, key) is not None:
            result[key] = getattr(args, key)
    if (args.limit is not None or args.quick) and isinstance(result.get("task"), list):
        result["task"] = [_limited(task, result["limit"]) for task in result["task"]]
    if args.model:
        result["models"] = list(args.model)
    if args.languages is not None:
        result["languages"] = codes(args.languages)
    if args.method:
        result["method"] = [parse_call(text) for text in args.method]
    if args.task:
        result["task"] = [parse_call(text) for text in args.task]
        if args.config is None or all(task["name"] != "answers" for task in result["task"]):
            result.pop("judge", None)  # the default sweep's judge is for its own answers; or none are made
    return result


def _limited(task: Any, limit: Any) -> Any:
    """A task's own limit, where a smaller one was given for everything."""
    own = task.get("limit") if isinstance(task, Mapping) else None
    return {**task, "limit": min(own, limit)} if isinstance(own, int) and isinstance(limit, int) else task


def codes(text: str) -> list[str]:
    """
    >>> codes("en, ko")
    ['en', 'ko']
    """
    return [code.strip() for code in text.split(",") if code.strip()]


def parse_call(text: str) -> dict[str, Any]:
    """``NAME[:key=value,...]`` -> the table a sweep file would hold. Raises UserError where a value is missing.

    Values are TOML where they can be, else bare words; a dotted key reaches into a table; a list is a grid.

    >>> parse_call("rtn")
    {'name': 'rtn'}
    >>> parse_call("rtn:bits=[3,4],granularity=group:128")
    {'name': 'rtn', 'bits': [3, 4], 'granularity': 'group:128'}
    >>> parse_call("awq:calibration.languages={ko=1}")
    {'name': 'awq', 'calibration': {'languages': {'ko': 1}}}
    """
    name, _, rest = text.partition(":")
    table: dict[str, Any] = {"name": name.strip()}
    for item in split_outside(rest):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not key or not equals or not value:
            raise UserError(f"'{text}' has '{item.strip()}' where key=value belongs, as in 'rtn:bits=4'.")
        *folders, last = key.split(".")
        inner = table
        for folder in folders:
            inner = inner.setdefault(folder, {})
            if not isinstance(inner, dict):
                raise UserError(f"'{text}': '{folder}' has a value already, so '{key}' cannot be set inside it.")
        inner[last] = scalar(value)
    return table


def scalar(text: str) -> Any:
    """One value of the command line.

    >>> scalar("4"), scalar("true"), scalar("nf4"), scalar("[nf4, int8]"), scalar('"a b"')
    (4, True, 'nf4', ['nf4', 'int8'], 'a b')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if text.startswith("[") and text.endswith("]"):
            return [scalar(item.strip()) for item in split_outside(text[1:-1])]
        return text


def split_outside(text: str) -> list[str]:
    """Split at commas that stand in no bracket, brace or quotation.

    >>> split_outside("a=[1,2],b={x=1,y=2},c='p,q'")
    ['a=[1,2]', 'b={x=1,y=2}', "c='p,q'"]
    """
    pieces, depth, start = [], 0, 0
    for match in re.finditer(r"\"[^\"]*\"|'[^']*'|[\[{]|[\]}]|,", text):
        token = match.group()
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
        if token == "," and depth == 0:
            pieces.append(text[start : match.start()])
            start = match.end()
    return [piece for piece in [*pieces, text[start:]] if piece.strip()]
