"""Short names for variants: the least text that tells each from the others of its run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from results.cell import Scalar, Variant, digest_of

ALWAYS = ("bits", "format")
"""Parameters that readers look for even where all variants share them; `bits = 0` says that nothing is rounded."""
MANY = 4
"""An equal mix of more languages than this is called by their number."""


def labels(variants: Iterable[Variant]) -> dict[str, str]:
    """Variant key -> label, such as ``awq 4-bit group:128, calibrated on en:1 ko:1, draw 2``; unique."""
    unique = {variant.key: variant for variant in variants}
    everyone = list(unique.values())
    shown = _differing_params(everyone)
    calibrations = _calibrations(everyone)
    # Looked up once a group: thousands of variants would else be compared with each other.
    everywhere = _differing(everyone, ("dtype", "device", "weights"))
    by_method = {name: _differing(of, ("seed", "code")) for name, of in _grouped(everyone, _method).items()}
    drawn = {name: _differing(of, ("draw",)) for name, of in _grouped(everyone, method_key).items()}
    named = {}
    for key, variant in unique.items():
        words = [variant.method, *_params(variant, shown)]
        parts = [" ".join(words)]
        if variant.calibration is not None and calibrations.get(variant.calibration_label or ""):
            parts.append(f"calibrated on {calibrations[variant.calibration_label or '']}")
        if variant.calibration is not None and drawn[method_key(variant)]:
            parts.append(f"draw {variant.draw}")
        for name in ("dtype", "device"):
            if name in everywhere:
                parts.append(str(getattr(variant, name)))
        for name in ("seed", "code"):
            if name in by_method[variant.method]:
                parts.append(f"{name} {getattr(variant, name)}")
        model = f"{short_model(variant.model)}: " if "weights" in everywhere else ""
        named[key] = model + ", ".join(parts)
    count = Counter(named.values())
    return {key: label if count[label] == 1 else f"{label} #{key[:6]}" for key, label in named.items()}


def method_key(variant: Variant) -> str:
    """What all calibration draws of one variant share."""
    identity = variant.to_json()
    for name in ("model", "revision", "draw", "calibration"):
        del identity[name]
    return digest_of(identity)


def without_draw(label: str, variant: Variant) -> str:
    """The label of a variant as the name of the method it is a draw of."""
    return label.replace(f", draw {variant.draw}", "")


def short_model(model: str) -> str:
    """The last part of a hub id, a path or ``bundled:...``."""
    return model.rstrip("/").rsplit("/", 1)[-1].removeprefix("bundled:")


def _differing_params(variants: list[Variant]) -> set[tuple[str, str]]:
    """(method, parameter) with more than one value among the method's variants: one name may mean two things in two."""
    values: dict[tuple[str, str], set[str]] = {}
    for variant in variants:
        for name, value in variant.params.items():
            values.setdefault((variant.method, name), set()).add(repr(value))
    return {name for name, found in values.items() if len(found) > 1}


def _params(variant: Variant, differing: set[tuple[str, str]]) -> list[str]:
    first = [_said(name, variant.params[name]) for name in ALWAYS if variant.params.get(name)]
    differ = {name: value for name, value in variant.params.items() if (variant.method, name) in differing}
    return first + [_said(name, value) for name, value in differ.items() if name not in ALWAYS]


def _said(name: str, value: Scalar) -> str:
    if name == "bits":
        return f"{value}-bit"
    if isinstance(value, bool):
        return name if value else f"not-{name}"
    if isinstance(value, str):
        return value
    return f"{name}={'none' if value is None else value}"


def _calibrations(variants: list[Variant]) -> dict[str, str]:
    """Calibration label -> the part that differs, empty where there is only one: ``en:1 ko:1`` of
    ``bundled en:1 ko:1, 4096 tokens`` among others of the same corpus and length."""
    found = sorted({v.calibration_label or "" for v in variants if v.calibration is not None})
    if len(found) < 2:
        return {}
    split = [label.split(", ") for label in found]
    if len({len(parts) for parts in split}) > 1:
        return {label: label for label in found}
    kept = [column for column in zip(*split, strict=True) if len(set(column)) > 1]
    rows = [list(row) for row in zip(*kept, strict=True)]
    firsts = [row[0].split(" ", 1) for row in rows]
    if len({first[0] for first in firsts}) == 1 and all(len(first) == 2 for first in firsts):
        rows = [[first[1], *row[1:]] for first, row in zip(firsts, rows, strict=True)]
    return {label: ", ".join(map(_mix, row)) for label, row in zip(found, rows, strict=True)}


def _mix(words: str) -> str:
    """``en:1 ko:1 ja:1 zh:1 fr:1`` as ``5 languages``; a mix of few languages, or an unequal one, as it is."""
    parts = words.split(" ")
    equal = len(parts) > MANY and all(part.endswith(":1") for part in parts)
    return f"{len(parts)} languages" if equal else words


def _method(variant: Variant) -> str:
    return variant.method


def _grouped(variants: Iterable[Variant], name: Callable[[Variant], str]) -> dict[str, list[Variant]]:
    found: dict[str, list[Variant]] = {}
    for variant in variants:
        found.setdefault(name(variant), []).append(variant)
    return found


def _differing(variants: list[Variant], names: Iterable[str]) -> set[str]:
    """Those of ``names`` in which the variants are not all alike."""
    return {name for name in names if len({getattr(variant, name) for variant in variants}) > 1}
