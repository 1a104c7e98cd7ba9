"""The listing of methods, read from their files: one file, one method.

All but ``load`` read a method's file with ``ast`` and import nothing, so that listing methods or refusing a misspelt
parameter costs no second and needs no library. A method's file is one whose name does not start with an underscore
and that holds a class deriving from ``Compressor``, or from ``Reference`` which does.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from methods.base import Compressor

Scalar = str | int | float | bool | None
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Field:
    """One parameter of a method, as its dataclass declares it."""

    type: str
    """As annotated: ``int``, ``str``, ``float``, ``bool``, with ``| None`` where None is allowed."""
    default: Scalar
    help: str
    """The string that follows the field."""


@dataclass(frozen=True)
class _Outline:
    """What one file tells without being imported."""

    class_name: str
    summary: str
    fields: dict[str, Field]
    needs: frozenset[str]
    code: int


def names() -> tuple[str, ...]:
    """Every method's name, in alphabetical order."""
    return tuple(name for name, path in sorted(_paths().items()) if _outline(path) is not None)


def summary(name: str) -> str:
    """The first line of the method's docstring."""
    return _known(name).summary


def fields(name: str) -> dict[str, Field]:
    """The method's parameters in the order of its dataclass."""
    return dict(_known(name).fields)


def needs(name: str) -> frozenset[str]:
    """The moments the method reads from calibration text; empty: it uses none."""
    return _known(name).needs


def code(name: str) -> int:
    """The method's code version: raised when the same parameters would give another artifact."""
    return _known(name).code


def load(name: str) -> type[Compressor]:
    """The method's class. This imports its file, and with it whatever that needs."""
    outline = _known(name)
    return getattr(importlib.import_module(f"methods.{name}"), outline.class_name)


def _paths() -> dict[str, Path]:
    return {path.stem: path for path in FOLDER.glob("[!_]*.py")}


def _known(name: str) -> _Outline:
    path = _paths().get(name)
    outline = _outline(path) if path else None
    if outline is None:
        raise KeyError(f"There is no method '{name}'. Known: {', '.join(names())}.")
    return outline


@cache
def _outline(path: Path) -> _Outline | None:
    """The outline of the file's one Compressor, or None for a file that holds none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and _is_compressor(node)]
    if not classes:
        return None
    if len(classes) > 1:
        raise TypeError(f"methods/{path.name} holds {len(classes)} compressors; a method's file holds exactly one")
    (node,) = classes
    doc = ast.get_docstring(tree) or ast.get_docstring(node) or ""
    constants = _class_constants(node)
    return _Outline(
        class_name=node.name,
        summary=doc.partition("\n")[0].rstrip("."),
        fields=_fields(node),
        needs=frozenset(constants.get("needs", ())),
        code=constants.get("code", 1),
    )


def _is_compressor(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).split(".")[-1] in ("Compressor", "Reference") for base in node.bases)


def _fields(node: ast.ClassDef) -> dict[str, Field]:
    """The annotated assignments that are no ClassVar, each with the string after it."""
    found = {}
    for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        annotation = ast.unparse(statement.annotation)
        if annotation.startswith(("ClassVar", "typing.ClassVar")):
            continue
        if statement.value is None:
            raise TypeError(f"{node.name}.{statement.target.id} has no default; every field of a method has one")
        found[statement.target.id] = Field(annotation, _literal(statement.value), _string(following))
    return found


def _class_constants(node: ast.ClassDef) -> dict[str, Any]:
    """The class variables ``code`` and ``needs``."""
    found = {}
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign | ast.Assign) and statement.value is not None:
            target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
            if isinstance(target, ast.Name) and target.id in ("code", "needs"):
                found[target.id] = _literal(statement.value)
    return found


def _literal(node: ast.expr) -> Any:
    """The value of a literal; ``frozenset({...})`` is read through."""
    if isinstance(node, ast.Call):
        return _literal(node.args[0]) if node.args else ()
    return ast.literal_eval(node)


def _string(node: ast.stmt | None) -> str:
    """The text of a statement that is a bare string, on one line."""
    value = node.value if isinstance(node, ast.Expr) else None
    text = value.value if isinstance(value, ast.Constant) else None
    return " ".join(text.split()) if isinstance(text, str) else ""
