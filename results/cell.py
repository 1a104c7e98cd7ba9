"""A cell: one variant on one task in one language, identified by everything that is known before computing it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Scalar = str | int | float | bool | None


def canonical_json(value: Any) -> str:
    """The one spelling of a JSON value that we hash: sorted keys, no spaces, UTF-8 as it is, no NaN."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def digest_of(value: Any) -> str:
    """Sixteen bytes of BLAKE2 over the canonical JSON of ``value``, as 32 hex digits."""
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Variant:
    """One model under one method with its parameters and calibration."""

    model: str
    """The user's word for it: hub id, folder, GGUF file or ``bundled:...``. For readers; identity is ``weights``."""
    weights: str
    """Digest of the base model's tensors, config and tokenizer."""
    method: str
    params: Mapping[str, Scalar] = field(default_factory=dict)
    """Every field of the method, defaults filled in."""
    code: int = 1
    """The method's own version number: raised when the same parameters would give another artifact."""
    calibration: str | None = None
    """Fingerprint of the calibration tokens; None for a method that uses none."""
    calibration_label: str | None = None
    """For readers: corpus, languages with weights, and tokens, such as ``bundled en:1 ko:1, 4096 tokens``."""
    draw: int = 0
    """Which calibration draw. Methods without calibration have draw 0 only."""
    seed: int = 0
    """Everything random but the draw."""
    dtype: str = "float32"
    """The dtype the model computes in."""
    device: str = "cpu"
    """Device class, ``cpu`` or ``cuda``."""
    revision: str | None = None
    """The hub commit, where there is one."""

    @cached_property
    def key(self) -> str:
        """Hash of what defines the artifact and its evaluation; names for readers are left out."""
        identity = self.to_json()
        for name in ("model", "revision", "calibration_label"):
            del identity[name]
        return digest_of(identity)

    def to_json(self) -> dict[str, Any]:
        return _fields(self)

    @property
    def label(self) -> str:
        """Short and unique among the variants of a sweep in most cases: ``awq bits=4``; see reports for full ones."""
        shown = [f"{k}={v}" for k, v in self.params.items()]
        return " ".join([self.method, *shown])


@dataclass(frozen=True)
class Cell:
    """One variant on one task in one language."""

    variant: Variant
    task: str
    task_version: int
    language: str
    text: str
    """Fingerprint of the texts or items that are read, after any limit."""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    """The task's own parameters: corpus, protocol, window ..."""
    limit: int | None = None
    reference: str | None = None
    """Key of the cell this one is measured against: fidelity, the same text under `none`; second answers, the first."""

    @cached_property
    def key(self) -> str:
        return digest_of({**_fields(self), "variant": self.variant.key})

    def to_json(self) -> dict[str, Any]:
        return {**_fields(self), "variant": self.variant.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Cell:
        return cls(**{**value, "variant": Variant(**value["variant"])})


def _fields(value: Variant | Cell) -> dict[str, Any]:
    """Name -> value of every field. `dataclasses.asdict` copies deeply, which thousands of keys would wait for."""
    found = {name: getattr(value, name) for name in value.__dataclass_fields__}
    return {**found, "params": dict(value.params)}
