"""A compressed model on disk: written block by block, loaded back strictly, weighed, exported.

::

    block-00000.safetensors ...   one decoder block each: packed layers and the tensors left as they were
    rest.safetensors              embedding, final norm, head (a tied head is stored once, as the embedding)
    config.json, tokenizer files  as in the original
    recipe.json                   what the folder is being made from: a resumed run must match it
    notes.json                    sentences of the method about how it was made, where it has any
    manifest.json                 written last: a folder without it is unfinished

A method that brings its own checkpoint format keeps it in ``checkpoint/`` (``format="transformers"``).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from methods._export import export
from methods._export_compressed_tensors import export_compressed_tensors
from methods._export_lora import export_lora
from methods._files import CannotStore, copy_companions, write_tensors, write_text
from methods._flops import Cost, cost
from methods._footprint import Footprint, weigh
from methods._kinds import KINDS
from methods._load import load
from methods._manifest import (
    CHECKPOINT,
    NAME,
    SCHEMA,
    DamagedArtifact,
    Manifest,
    damaged,
    digest_bytes,
    digest_tensors,
    dtype_name,
    read_manifest,
    write_manifest,
)
from methods._shards import EMBEDDING, HEAD, Shards, shard_files
from methods.base import Calibration, Compressed, Source

__all__ = [
    "CHECKPOINT",
    "CannotStore",
    "Cost",
    "DamagedArtifact",
    "Footprint",
    "Manifest",
    "Writer",
    "cost",
    "digest",
    "export",
    "export_compressed_tensors",
    "export_lora",
    "load",
    "notes",
    "read_manifest",
    "weigh",
]

NOTES = "notes.json"
RECIPE = "recipe.json"
REST = "rest.safetensors"


class PackedLayer(Protocol):
    """What ``Writer.block`` needs of a compressed layer; ``_linear.AffineLinear`` is one."""

    def spec(self) -> dict[str, Any]: ...

    def state_dict(self) -> dict[str, Tensor]: ...


class Writer:
    """Writes one artifact. Used again on an unfinished folder of the same recipe, it keeps the finished blocks.

    Any change of source, method, parameters, code version or calibration starts anew. Raises ValueError for a folder
    that holds something else, CannotStore when the disk refuses.
    """

    def __init__(
        self,
        folder: Path,
        source: Source,
        method: str,
        params: Mapping[str, Any],
        code: int,
        calibration: Calibration | str | None = None,
        format: str = "blocks",
    ) -> None:
        self.folder, self.source, self.format = folder, source, format
        self.label = calibration.label if isinstance(calibration, Calibration) else ""
        fingerprint = calibration.fingerprint if isinstance(calibration, Calibration) else calibration
        self.recipe = {
            "schema": SCHEMA,
            "format": format,
            "method": method,
            "params": dict(params),
            "code": code,
            "base": source.digest,
            "dtype": source.dtype,
            "calibration": fingerprint,
        }
        self._base = Shards(source.folder)
        self._untouched: dict[str, str] = {}
        self._layers: dict[str, dict[str, Any]] = {}
        self._notes: dict[str, str] = {}
        self._open()

    def _open(self) -> None:
        recipe = self.folder / RECIPE
        if self.folder.exists() and any(self.folder.iterdir()):
            if not recipe.is_file():
                raise ValueError(
                    f"{self.folder} holds files that are no part of a compressed model. "
                    "Name a new or empty folder, or empty this one first."
                )
            try:
                same = json.loads(recipe.read_text(encoding="utf-8")) == self.recipe
            except ValueError:
                same = False
            if not same or self.format != "blocks":
                shutil.rmtree(self.folder)
        write_text(recipe, json.dumps(self.recipe, indent=1, ensure_ascii=False) + "\n")
        for leftover in self.folder.glob(".*.tmp"):
            leftover.unlink()

    @property
    def checkpoint(self) -> Path:
        """The subfolder for a checkpoint of ``format="transformers"``."""
        return self.folder / CHECKPOINT

    def block(
        self,
        index: int,
        tensors: Mapping[str, Tensor],
        layers: Mapping[str, PackedLayer],
        keep_float32: Collection[str] = (),
    ) -> None:
        """Store decoder block ``index``: plain ``tensors`` and compressed ``layers`` by full state-dict names.

        Tensors of the original are stored in the type the original has them in, so that sizes compare whatever type
        the blocks ran in; those named in ``keep_float32`` are stored as given and not rounded on loading.
        """
        self._store(_block_file(index), tensors, layers, keep_float32)

    def rest(self, tensors: Mapping[str, Tensor], keep_float32: Collection[str] = ()) -> None:
        """Store everything outside the decoder blocks."""
        config = self.source.config
        tied = config.get("tie_word_embeddings") and HEAD in tensors and EMBEDDING in tensors
        if tied and tensors[HEAD] is not tensors[EMBEDDING] and not torch.equal(tensors[HEAD], tensors[EMBEDDING]):
            raise ValueError(f"{HEAD} is tied to {EMBEDDING}, but another tensor was given for it.")
        self._store(REST, {name: t for name, t in tensors.items() if not (tied and name == HEAD)}, {}, keep_float32)

    def untouched(self, name: str, reason: str) -> None:
        """Record a layer that stays as it is. Call it before the ``block`` that holds the layer."""
        self._untouched[name] = reason

    def layer(self, name: str, spec: Mapping[str, Any]) -> None:
        """Record a compressed layer of a ``transformers`` checkpoint: kind, in_features, out_features ..."""
        self._layers[name] = dict(spec)

    def note(self, name: str, sentence: str) -> None:
        """Say something about how the artifact was made, for every record of it."""
        self._notes[name] = sentence

    def has_block(self, index: int) -> bool:
        """Whether an earlier run of the same recipe has finished this block."""
        return _metadata(self.folder / _block_file(index)) is not None

    def has_rest(self) -> bool:
        """Whether an earlier run of the same recipe has stored the rest."""
        return _metadata(self.folder / REST) is not None

    def read_layers(self, index: int) -> dict[str, Any]:
        """The compressed layers of a finished block as they were stored, by full name, on the source's device."""
        path = self.folder / _block_file(index)
        metadata = _metadata(path) or damaged(path, "cannot be read")
        layers = {}
        with safe_open(str(path), "pt", device=self.source.device) as file:
            for name, spec in metadata["layers"].items():
                with torch.device("meta"):
                    layers[name] = KINDS[spec["kind"]].from_spec(spec)
                state = {buffer: file.get_tensor(f"{name}.{buffer}") for buffer in layers[name].state_dict()}
                layers[name].load_state_dict(state, assign=True)
        return layers

    def _store(
        self, file: str, tensors: Mapping[str, Tensor], layers: Mapping[str, PackedLayer], keep: Collection[str]
    ) -> None:
        (self.folder / NAME).unlink(missing_ok=True)
        everything = dict(tensors)
        for name, layer in layers.items():
            everything |= {f"{name}.{buffer}": tensor for buffer, tensor in layer.state_dict().items()}
        for name in everything.keys() & self._base.keys() - set(keep):
            everything[name] = everything[name].to(self._base[name].dtype)
        everything = {name: tensor.detach().cpu().contiguous() for name, tensor in everything.items()}
        metadata = {
            "layers": {name: layer.spec() for name, layer in layers.items()},
            "keep_float32": sorted(keep),
            "untouched": self._untouched,
            "digests": digest_tensors(everything),
        }
        write_tensors(self.folder / file, everything, {key: json.dumps(value) for key, value in metadata.items()})
        self._untouched = {}

    def finish(self) -> Compressed:
        """Write the manifest, which makes the folder an artifact."""
        layers, untouched, keep = dict(self._layers), dict[str, str](), list[str]()
        tensors: dict[str, dict[str, Any]] = {}
        if self.format == "blocks":
            copy_companions(self.source.folder, self.folder)
            for path in sorted(self.folder.glob("*.safetensors")):
                metadata = _metadata(path) or damaged(path, "cannot be read")
                layers |= metadata["layers"]
                untouched |= metadata["untouched"]
                keep += metadata["keep_float32"]
                tensors |= _entries(path, path.name, metadata["digests"])
            self._require_complete(tensors, layers)
        else:
            for path in shard_files(self.checkpoint):
                tensors |= _entries(path, f"{CHECKPOINT}/{path.name}")
        if self._notes:
            write_text(self.folder / NOTES, json.dumps(self._notes, indent=1, ensure_ascii=False) + "\n")
        small = [p for p in sorted(self.folder.rglob("*")) if p.is_file() and p.suffix != ".safetensors"]
        small = [path for path in small if path not in (self.folder / NAME, self.folder / RECIPE)]
        manifest = Manifest(
            format=self.format,
            **{key: self.recipe[key] for key in ("method", "params", "code", "base", "calibration")},  # type: ignore[arg-type]
            base_bytes=sum(self._base[name].nbytes for name in self._base.names()),
            calibration_label=self.label,
            layers=layers,
            untouched=untouched | self._untouched,
            keep_float32=tuple(sorted(keep)),
            tensors=tensors,
            files={str(p.relative_to(self.folder).as_posix()): digest_bytes(p.read_bytes()) for p in small},
        ).sealed()
        write_manifest(self.folder, manifest)
        return Compressed(self.folder, manifest.digest, manifest.untouched, self._notes)

    def _require_complete(self, tensors: Mapping[str, Any], layers: Mapping[str, Any]) -> None:
        missing = [n for n in self._base.names() if n not in tensors and n.rpartition(".")[0] not in layers]
        if missing:
            raise ValueError(f"{self.folder} cannot be finished: nothing was stored for {', '.join(missing[:3])}.")


def digest(folder: Path) -> str:
    """The artifact's digest, from its checked manifest."""
    return read_manifest(folder).digest


def notes(folder: Path) -> dict[str, str]:
    """What the method said of how it made an artifact: ``Compressed.notes``."""
    path = folder / NOTES
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _block_file(index: int) -> str:
    return f"block-{index:05d}.safetensors"


def _metadata(path: Path) -> dict[str, Any] | None:
    """What ``Writer._store`` wrote beside the tensors; None where there is no whole file."""
    try:
        with safe_open(str(path), "pt") as file:
            return {key: json.loads(value) for key, value in file.metadata().items()}
    except (OSError, SafetensorError, ValueError, AttributeError):
        return None


def _entries(path: Path, file: str, digests: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    with safe_open(str(path), "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
        digests = digests or digest_tensors(tensors)
        return {
            name: {"file": file, "dtype": dtype_name(t.dtype), "shape": list(t.shape), "digest": digests[name]}
            for name, t in tensors.items()
        }
