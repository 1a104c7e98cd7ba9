"""A checkpoint's tensors on disk, one at a time: a read-only mapping from name to tensor."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from methods._stored import dtype_name

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
INDEX = "model.safetensors.index.json"


def require_finite(name: str, tensor: Tensor) -> Tensor:
    """``tensor`` itself; ValueError naming the layer when it holds NaN or infinity."""
    if not tensor.is_floating_point() or not tensor.numel():
        return tensor
    if all(bool(torch.isfinite(end)) for end in tensor.aminmax()):  # NaN passes through; 20 times faster than isfinite
        return tensor
    broken, nans = int((~torch.isfinite(tensor)).sum()), int(torch.isnan(tensor).sum())
    raise ValueError(
        f"{name} holds {broken} values that are not finite ({nans} NaN, {broken - nans} infinite) "
        f"out of {tensor.numel()}; the model cannot be compressed. Check the checkpoint, or the dtype it was saved in."
    )


class Shards(Mapping[str, Tensor]):
    """The tensors of a transformers folder, read from one or many safetensors files when asked for.

    A tied head is stored once, as the embedding: ``names()`` lists it once and ``get`` answers to both names.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = {name: path for path in shard_files(folder) for name in _names(path)}
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.tied = self._is_tied(config)
        self._handles: dict[Path, Any] = {}

    def _is_tied(self, config: Mapping[str, Any]) -> bool:
        if not config.get("tie_word_embeddings", _ties_by_default(config)) or EMBEDDING not in self._files:
            return False
        if HEAD in self._files:
            if not torch.equal(_read(self._files[HEAD], HEAD), _read(self._files[EMBEDDING], EMBEDDING)):
                raise ValueError(
                    f"{self.folder}: config.json says tie_word_embeddings, but {HEAD} and {EMBEDDING} differ. "
                    "Set tie_word_embeddings to false there, or remove the head that is not meant."
                )
            del self._files[HEAD]
        return True

    def names(self) -> tuple[str, ...]:
        """Names of stored tensors in the order of their files."""
        return tuple(self._files)

    @property
    def dtype(self) -> str:
        """The type most of the weights are stored in, such as ``bfloat16``."""
        counts: Counter[str] = Counter()
        for name in self:
            counts[dtype_name(self[name].dtype)] += self[name].numel()
        return counts.most_common(1)[0][0]

    def file(self, name: str) -> Path:
        """The file that holds a tensor."""
        return self._files[name]

    def __getitem__(self, name: str) -> Tensor:
        """A tensor on the CPU, as stored. KeyError for an unknown name."""
        if name == HEAD and self.tied:
            name = EMBEDDING
        path = self._files[name]
        if path not in self._handles:
            self._handles[path] = safe_open(str(path), "pt")
        return self._handles[path].get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def shard_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a checkpoint, by its index where it has one."""
    index = folder / INDEX
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        files = tuple(folder / name for name in names)
    else:
        files = tuple(sorted(folder.glob("*.safetensors")))
    missing = [path.name for path in files if not path.is_file()]
    if missing or not files:
        raise ValueError(
            f"{folder} is not a complete checkpoint: "
            + (f"missing {', '.join(missing)}" if missing else "it holds no safetensors file")
            + ". Download it again, or save the model with save_pretrained(folder)."
        )
    return files


def _names(path: Path) -> list[str]:
    with safe_open(str(path), "pt") as file:
        return list(file.keys())


def _read(path: Path, name: str) -> Tensor:
    with safe_open(str(path), "pt") as file:
        return file.get_tensor(name)


def _ties_by_default(config: Mapping[str, Any]) -> bool:
    """Whether this architecture ties its head when its config does not say (Gemma does)."""
    from transformers import CONFIG_MAPPING

    kind = config.get("model_type")
    return str(kind) in CONFIG_MAPPING and bool(getattr(CONFIG_MAPPING[str(kind)](), "tie_word_embeddings", False))
