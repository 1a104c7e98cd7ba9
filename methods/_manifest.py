"""What an artifact says about itself, and how what is on disk is checked against it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from methods._files import write_text
from methods._stored import dtype_name

SCHEMA = 1
NAME = "manifest.json"
CHECKPOINT = "checkpoint"
"""Subfolder that holds a checkpoint in a format of its own (``format="transformers"``)."""


class DamagedArtifact(ValueError):
    """An artifact that is not what was written; the message names file and tensor and what to do."""


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``."""

    format: str
    """``blocks``: files of this project; ``transformers``: a checkpoint that ``from_pretrained`` loads."""
    method: str
    params: Mapping[str, Any]
    code: int
    """The method's code version."""
    base: str
    """Digest of the original checkpoint."""
    base_bytes: int
    """Bytes of the original tensors, a tied head counted once."""
    calibration: str | None
    """Fingerprint of the calibration tokens."""
    calibration_label: str
    layers: Mapping[str, Mapping[str, Any]]
    """Compressed layer -> what builds its module."""
    untouched: Mapping[str, str]
    keep_float32: tuple[str, ...]
    """Tensors that are not cast to the model's dtype on loading."""
    tensors: Mapping[str, Mapping[str, Any]]
    """Name -> file, dtype, shape, digest."""
    files: Mapping[str, str]
    """Config, tokenizer and other small files -> digest."""
    schema: int = SCHEMA
    digest: str = field(default="")
    """Digest of all of the above."""

    def sealed(self) -> Manifest:
        """With its digest computed."""
        content = asdict(self)
        del content["digest"]
        return Manifest(**content, digest=digest_bytes(canonical(content).encode()))


def canonical(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_bytes(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digest_tensor(tensor: Tensor) -> str:
    """blake2b of a CPU tensor's bytes in row order."""
    flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.blake2b(flat.numpy(), digest_size=16).hexdigest()  # type: ignore[arg-type]


def digest_tensors(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Name -> digest; hashing leaves the interpreter lock, so threads help."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(tensors, pool.map(digest_tensor, tensors.values()), strict=True))


def damaged(path: Path, what: str) -> NoReturn:
    folder = path.parent.parent if path.parent.name == CHECKPOINT else path.parent
    raise DamagedArtifact(
        f"{path} {what}. Delete the folder {folder} (or run `python -m harness cache prune`) and compress again."
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    write_text(folder / NAME, json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """The manifest, its own digest checked. Raises DamagedArtifact."""
    path = folder / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        damaged(path, "is missing: compressing did not finish, or this is no compressed model")
    except (ValueError, OSError) as error:
        damaged(path, f"cannot be read ({error})")
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        damaged(path, f"has schema {schema!r}; this version reads {SCHEMA}")
    try:
        manifest = Manifest(**content)
    except TypeError as error:
        damaged(path, f"does not hold the right entries ({error})")
    if manifest.sealed().digest != manifest.digest:
        damaged(path, f"was edited: its content does not match its digest {manifest.digest!r}")
    return manifest


def read_tensors(folder: Path, manifest: Manifest, verify: bool) -> dict[str, Tensor]:
    """All tensors as stored, on the CPU; names, dtypes, shapes and (``verify``) every byte checked."""
    tensors: dict[str, Tensor] = {}
    for file in sorted({entry["file"] for entry in manifest.tensors.values()}):
        path = folder / file
        expected = {name for name, entry in manifest.tensors.items() if entry["file"] == file}
        try:
            with safe_open(str(path), "pt") as opened:
                found = set(opened.keys())
                if missing := sorted(expected - found):
                    damaged(path, f"lacks tensor {missing[0]}")
                if unknown := sorted(found - expected):
                    damaged(path, f"holds tensor {unknown[0]}, which the manifest does not know")
                tensors |= {name: opened.get_tensor(name) for name in sorted(expected)}
        except (SafetensorError, OSError) as error:
            damaged(path, f"cannot be read ({error})")
    for name, tensor in tensors.items():
        entry = manifest.tensors[name]
        found_type, wanted_type = dtype_name(tensor.dtype), entry["dtype"]
        if found_type != wanted_type or list(tensor.shape) != list(entry["shape"]):
            shapes = f"{found_type} {list(tensor.shape)} in place of {wanted_type} {list(entry['shape'])}"
            damaged(folder / entry["file"], f"is damaged: tensor {name} is {shapes}")
    if verify:
        for name, digest in digest_tensors(tensors).items():
            entry = manifest.tensors[name]
            if digest != entry["digest"]:
                damaged(folder / entry["file"], f"is damaged: the bytes of tensor {name} do not match their digest")
    return tensors


def check_files(folder: Path, manifest: Manifest) -> None:
    """Config and tokenizer files are what was written."""
    for file, digest in manifest.files.items():
        path = folder / file
        try:
            data = path.read_bytes()
        except OSError as error:
            damaged(path, f"cannot be read ({error.strerror or error})")
        if digest_bytes(data) != digest:
            damaged(path, "was changed after the model was compressed: it does not match its digest")
