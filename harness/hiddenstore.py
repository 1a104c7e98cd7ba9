"""Final hidden states of `none` on disk: what KL divergence is measured against, without a dump of logits.

A token takes H numbers where its logits would take V: 640 against 262,144 for the bundled model. One safetensors file
for each passage or window, with the token facts that every variant needs again, and the head once for all.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from harness.languagemodel import LanguageModel
from harness.scoring import Head, Known

CODE = 1
"""Raised when hidden states or facts of the same model and text would be others."""


class DamagedHidden(ValueError):
    """Cached hidden states that are missing, cut short or altered. Reading `none` with ``keep`` makes them again."""


class Kept(NamedTuple):
    hidden: torch.Tensor
    """(n, H): the states that predict the n scored tokens."""
    known: Known


@dataclass(frozen=True)
class HiddenStore:
    """One folder for one reading of `none`: its name is the key of that cell, so model, text and protocol are in it.

    ``complete.json`` is written last and tells what belongs to it. The head lies beside the folder, once for all
    readings of a model.
    """

    folder: Path

    def begin(self, lm: LanguageModel) -> None:
        """Start a reading: what is kept from now on replaces what was there. Keeps the head, unless it is there.

        What is there and whole stays complete meanwhile, file by file, for another run may read against it.
        """
        if not self.is_complete():
            self._marker.unlink(missing_ok=True)
        path = self._head(lm.head_digest)
        if not path.exists():
            head = lm.head()
            _write(path, {"weight": head.weight} | ({} if head.bias is None else {"bias": head.bias}))

    def save(self, unit: str, kept: Kept, targets: torch.Tensor) -> None:
        """Keep one passage or window, whole or not at all."""
        _write(self._path(unit), {"hidden": kept.hidden, **kept.known._asdict(), "targets": targets})

    def finish(self, lm: LanguageModel, units: Iterable[str]) -> None:
        """The reading is over: it has these passages or windows."""
        marker = {"code": CODE, "head": lm.head_digest, "units": sorted(set(units))}
        temporary = self.folder / f".complete.{os.getpid()}"
        temporary.write_text(json.dumps(marker), encoding="utf-8")
        temporary.replace(self._marker)

    def is_complete(self) -> bool:
        """Whether all of the reading is there and unaltered; of the head, whether it is there: ``head`` verifies it."""
        try:
            marker = self._read_marker()
            for unit in marker["units"]:
                _read(self._path(unit))
        except DamagedHidden:
            return False
        return self._head(marker["head"]).exists()

    def load(self, unit: str, targets: torch.Tensor) -> Kept:
        """What was kept of one passage or window. Raises DamagedHidden unless it is whole and of these very tokens."""
        found = _read(self._path(unit))
        if not torch.equal(found["targets"], targets.cpu()):
            raise DamagedHidden(f"{self._path(unit)} was made of other tokens; {_remedy(self.folder)}")
        moved = {name: tensor.to(targets.device) for name, tensor in found.items()}
        return Kept(moved["hidden"], Known(moved["nats"], moved["entropy"], moved["top"]))

    def head(self, lm: LanguageModel) -> Head:
        """The head of `none`: the model's own where it is the same, so that it is in memory once.

        Raises DamagedHidden for one that was cut short or altered, and removes it: no reading with it is complete then.
        """
        own, digest = lm.head(), self._read_marker()["head"]
        if digest == lm.head_digest:
            return own
        path = self._head(digest)
        try:
            kept = _read(path)
        except DamagedHidden:
            path.unlink(missing_ok=True)
            raise
        found = {name: tensor.to(own.weight.device) for name, tensor in kept.items()}
        return Head(found["weight"], found.get("bias"), own.softcap, own.scale)

    @property
    def _marker(self) -> Path:
        return self.folder / "complete.json"

    def _path(self, unit: str) -> Path:
        return self.folder / f"{unit}.safetensors"

    def _head(self, digest: str) -> Path:
        return self.folder.parent / f"head-{digest}" / "head.safetensors"

    def _read_marker(self) -> dict[str, Any]:
        try:
            marker = json.loads(self._marker.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DamagedHidden(f"{self.folder} holds no finished reading of `none`; {_remedy(self.folder)}") from error
        known = isinstance(marker, dict) and marker.get("code") == CODE
        if not known or not isinstance(marker.get("units"), list) or not isinstance(marker.get("head"), str):
            raise DamagedHidden(f"{self.folder} was made by another version; {_remedy(self.folder)}")
        return marker


def _remedy(folder: Path) -> str:
    return f"remove the folder {folder}, and `none` is read again"


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {key: tensor.detach().contiguous().cpu() for key, tensor in tensors.items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    save_file(whole, temporary, metadata={"digest": tensors_digest(whole)})
    temporary.replace(path)


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, "pt") as file:
            found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            digest = (file.metadata() or {}).get("digest")
    except (OSError, SafetensorError, ValueError) as error:
        raise DamagedHidden(f"{path} is missing or damaged; {_remedy(path.parent)}") from error
    if digest != tensors_digest(found):
        raise DamagedHidden(f"{path} was altered; {_remedy(path.parent)}")
    return found


def tensors_digest(tensors: dict[str, torch.Tensor]) -> str:
    """BLAKE2 over names, dtypes, shapes and bytes, 32 hex digits."""
    state = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous().cpu()
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        state.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()
