"""Originals: what a user names, where it lies, and what it computes in. The only loader of original checkpoints.

bundled:gemma-3-270m     a model from the package index        org/name[@revision]     a model on the hub
path/to/folder           a transformers folder                 path/to/file.gguf       a GGUF file
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.bundled import BUNDLED, ORIGIN, BundledModel, chunk_files, dequantized, join
from harness.digests import TOKENIZER_FILES, file_sha256, folder_digest
from harness.problems import UserError, nearest, unknown
from methods.base import Progress, Source, silent

__all__ = [
    "BUNDLED",
    "BundledModel",
    "ModelRef",
    "Resolved",
    "choose_device",
    "choose_dtype",
    "default_cache",
    "resolve",
]

DTYPES = ("float32", "bfloat16", "float16")
HUB_FILES = ("*.safetensors", "model.safetensors.index.json", "config.json", "generation_config.json", *TOKENIZER_FILES)
"""All that is ever fetched: no pickles, no code."""
HUB_LEFT = ("*/*", "consolidated*.safetensors")
"""Other copies of the same weights."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def default_cache() -> Path:
    """``$LANGGAP_CACHE``, else ``~/.cache/langgap``."""
    return Path(os.environ.get("LANGGAP_CACHE") or "~/.cache/langgap").expanduser()


@dataclass(frozen=True)
class ModelRef:
    """What kind of thing a user's word for a model is."""

    kind: Literal["bundled", "folder", "gguf", "hub"]
    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Raises UserError for a word that can be none of the four, with the nearest thing there is.

        >>> ModelRef.parse("google/gemma-2-9b@main")
        ModelRef(kind='hub', name='google/gemma-2-9b', revision='main')
        """
        if text.startswith("bundled:"):
            name = text.removeprefix("bundled:")
            if name not in BUNDLED:
                raise UserError(unknown("bundled model", name, BUNDLED))
            return cls("bundled", name)
        path = Path(text).expanduser()
        if text.lower().endswith(".gguf") and path.is_file():
            return cls("gguf", str(path))
        if text and path.is_dir():
            return cls("folder", str(path))
        looks_local = text.startswith((".", "/", "~")) or text.lower().endswith(".gguf") or path.parent.is_dir()
        if _HUB_ID.fullmatch(text) and not (looks_local and path.parent != Path()):
            name, _, revision = text.partition("@")
            return cls("hub", name, revision or None)
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(
            f"there is no model '{text}'.{nearest(path.name, beside)} Name a transformers folder, a .gguf file, "
            f"a hub id (org/name or org/name@revision) or one of {', '.join(f'bundled:{name}' for name in BUNDLED)}."
        )


@dataclass(frozen=True)
class Resolved:
    """An original on this machine, ready to be loaded."""

    source: Source
    name: str
    """As the user named it."""
    revision: str | None = None
    """The hub commit."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Facts for the record: dtype and device with their reasons, BOS, what the folder was made of."""


def resolve(ref: str, cache: Path, dtype: str = "auto", device: str = "auto", progress: Progress = silent) -> Resolved:
    """Find, fetch or dequantize the model that ``ref`` names, and settle dtype and device. Loads no weights.

    Raises UserError, always with the next step.
    """
    chosen_device = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    model, revision = ModelRef.parse(ref), None
    if model.kind == "bundled":
        sha256 = BUNDLED[model.name].sha256

        def fetch(folder: Path) -> Path:
            target = folder / f"{model.name}.gguf"
            join(chunk_files(model.name), sha256, target, progress)
            return target

        folder = dequantized(sha256, fetch, cache, progress)
    elif model.kind == "gguf":
        path = Path(model.name)
        folder = dequantized(file_sha256(path, cache), lambda _: path, cache, progress)
    elif model.kind == "folder":
        folder = Path(model.name)
    else:
        folder, revision = fetch_from_hub(model.name, model.revision)
    require_checkpoint(folder, ref)
    try:
        source = Source(folder, folder_digest(folder, cache), chosen_dtype, chosen_device)
    except ValueError as error:
        raise UserError(f"the model '{ref}' is damaged: {error}; fetch it again.") from error
    notes = {"dtype": f"{chosen_dtype} (asked: {dtype})", "device": f"{chosen_device} (asked: {device})"}
    if chosen_device.startswith("cuda"):
        notes["device_map"] = f"the whole model on {chosen_device}"
    if (folder / ORIGIN).exists():
        origin = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        notes["origin"] = f"dequantized to bfloat16 from {origin['file']}, SHA-256 {origin['sha256']}"
    return Resolved(source, ref, revision, notes)


def require_checkpoint(folder: Path, ref: str) -> None:
    """Raise UserError unless ``folder`` is an uncompressed transformers checkpoint with whole safetensors."""
    if (folder / "manifest.json").exists():
        raise UserError(f"'{ref}' is a compressed artifact, not an original. See: langgap evaluate --help")
    if not (folder / "config.json").exists():
        raise UserError(f"'{ref}' holds no config.json, so it is no transformers model. Name the folder that has one.")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"the config.json of '{ref}' is damaged ({error}); fetch the model again.") from error
    if "quantization_config" in config:
        method = config["quantization_config"].get("quant_method", "some method")
        raise UserError(
            f"'{ref}' is already compressed (by {method}). Name the original it was made from as the model, and this "
            f"folder as a method: --method 'checkpoint:path={ref}'."
        )
    index = folder / "model.safetensors.index.json"
    wanted = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) if index.exists() else set()
    missing = sorted(name for name in wanted if not (folder / name).exists())
    if missing:
        raise UserError(f"'{ref}' lacks {missing[0]} ({len(missing)} of {len(wanted)} files); fetch the model again.")
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        raise UserError(
            f"'{ref}' has its weights only as pickles ({pickles[0]}), which can run code when they are opened. "
            "Save it as safetensors first, with save_pretrained."
        )
    raise UserError(f"'{ref}' holds no safetensors files, and weights are read from nothing else but GGUF.")


def fetch_from_hub(name: str, revision: str | None) -> tuple[Path, str]:
    """The folder of a hub model and its commit. Fetches safetensors, config and tokenizer, never pickles or code."""
    import huggingface_hub
    from huggingface_hub import errors

    shown = f"{name}@{revision}" if revision else name
    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                name, revision=revision, allow_patterns=list(HUB_FILES), ignore_patterns=list(HUB_LEFT)
            )
        )
    except errors.GatedRepoError as error:
        raise UserError(
            f"the model '{shown}' is gated: accept its terms at https://huggingface.co/{name}, then log in with "
            "`hf auth login` or set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(
            f"the model '{name}' has no revision '{revision}'; see https://huggingface.co/{name}/commits/main."
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise UserError(
            f"the hub has no model '{name}' that you may read. Look for it at "
            f"https://huggingface.co/models?search={name.partition('/')[2]}; if it is private, set HF_TOKEN."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
        raise UserError(
            f"the model '{shown}' is not on this machine and the hub cannot be reached. Fetch it where there is a "
            f"network with `hf download {name}`, name a local folder, or use bundled:{next(iter(BUNDLED))}."
        ) from error
    return folder, folder.name


def choose_device(device: str) -> str:
    """``auto`` is ``cuda:0`` where there is one, else ``cpu``. Raises UserError for a device that is not here."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = ["cpu", *(f"cuda:{index}" for index in range(count))]
    if device == "auto":
        return here[min(1, count)]
    wanted = "cuda:0" if device == "cuda" else device
    if wanted not in here:
        raise UserError(f"there is no device '{device}' here; there is {', '.join(here)}. Or leave it at auto.")
    return wanted


def choose_dtype(dtype: str, device: str) -> str:
    """``auto`` is bfloat16 where the device computes it fast (CUDA, a CPU with instructions for it), else float32."""
    import torch

    if dtype in DTYPES:
        return dtype
    if dtype != "auto":
        raise UserError(unknown("dtype", dtype, ("auto", *DTYPES)))
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    able = torch.cpu.get_capabilities()
    return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"


def check_bos(source: Source) -> str:
    """How the tokenizer begins a text. Whoever is about to encode with a source's tokenizer calls this first.

    Some releases of transformers drop the BOS that a GGUF file asks for, and Gemma without BOS gives worthless
    perplexities: a folder we made from such a file must begin a text exactly as the file says. Raises UserError if not.
    """
    tokenizer = source.tokenizer()
    first = tokenizer("a")["input_ids"][0]
    added = tokenizer.bos_token_id is not None and first == tokenizer.bos_token_id
    said = f"added by the tokenizer: {tokenizer.bos_token!r}, id {first}" if added else "not added"
    for file, key in ((ORIGIN, "add_bos"), ("tokenizer_config.json", "add_bos_token")):
        path = source.folder / file
        asked = json.loads(path.read_text(encoding="utf-8")).get(key) if path.exists() else None
        if asked is None or asked == added:
            continue
        if file == ORIGIN:
            raise UserError(
                f"the tokenizer of {source.folder} begins a text {'with' if added else 'without'} BOS and its GGUF "
                "file says otherwise: this release of transformers reads it wrongly. Install another, such as 5.17."
            )
        said += f" (although {file} says {key} = {str(asked).lower()})"
    return said
