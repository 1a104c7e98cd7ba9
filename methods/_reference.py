"""What all methods that run a library of somebody else share: the same tokens in, the library's own checkpoint out.

A ``Reference`` writes its artifact here, in ``compress``; its ``quantize`` runs in the library's process and gets a
``Job``. At module level nothing is imported that a library's own environment may lack.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from methods import _libraries
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent

if TYPE_CHECKING:
    from torch import Tensor

    from methods._shards import Shards
    from methods._worker import Result
    from methods._worker_child import Job

SECONDS = "LANGGAP_REFERENCE_SECONDS"
"""Environment variable: how long one library may take over one model."""
LIMIT = 4 * 3600.0
TOLERANCE = 2**-7
"""Largest difference, as a share of the largest weight, between what is read back and the library's own reading."""


@dataclass(frozen=True)
class Reference(Compressor):
    """Base of the methods that run a library of somebody else. The listing knows it by name."""

    allowed: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Field -> the values it may have."""
    by_row: ClassVar[bool] = True
    """Whether a granularity may be 'row'."""

    def __post_init__(self) -> None:
        for field, values in self.allowed.items():
            if (given := getattr(self, field)) not in values or isinstance(given, bool):
                raise ValueError(f"{field}={given!r}: allowed are {', '.join(map(str, values))}.")
        if self.group is None and not self.by_row:
            raise ValueError(f"granularity={self.granularity!r}: allowed is 'group:SIZE', such as 'group:128'.")  # type: ignore[attr-defined]

    @property
    def group(self) -> int | None:
        """How many inputs share a scale; None: all, or the library decides. Linears it does not divide are left out."""
        from methods._affine import parse_granularity

        return parse_granularity(getattr(self, "granularity", "row"))

    def quantize(self, job: Job) -> None:
        """In the library's process: write ``job.checkpoint``."""
        raise NotImplementedError

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        """Have the library make its checkpoint, hold it to the original, and keep it as the artifact.

        Raises MissingLibrary, WorkerFailed, and ValueError for a checkpoint that does not fit; a failure leaves no
        artifact.
        """
        return _compress(self, source, calibration, folder, progress)


def _compress(
    method: Reference, source: Source, calibration: Calibration | None, folder: Path, progress: Progress
) -> Compressed:
    from methods._checkpoint import adopt
    from methods._shards import Shards, require_finite
    from methods.artifact import Writer

    name = type(method).__module__.rpartition(".")[2]
    library = _libraries.LIBRARIES[name]
    python = _libraries.find(name)
    if method.needs and calibration is None:
        raise ValueError(f"{name} needs calibration text: give the sweep a [calibration] section.")
    shards = Shards(source.folder)
    for tensor in shards.names():
        require_finite(tensor, shards[tensor])
    read = calibration if method.needs else None
    writer = Writer(folder, source, name, asdict(method), method.code, read, format="transformers")
    try:
        progress(f"running {library.distribution}", 0, 1)
        result = _work(method, name, source, shards, read, folder / "job", python)
        shutil.move(folder / "job" / "checkpoint", writer.checkpoint)
        _dressed(writer.checkpoint, source)
        found = adopt(writer.checkpoint, shards, library.distribution)
        if not found.layers:
            raise ValueError(f"{library.distribution} left every layer as it was.")
        _compare(folder / "job" / "check", found.layers, writer.checkpoint, library.distribution)
        shutil.rmtree(folder / "job")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    for layer, spec in found.layers.items():
        writer.layer(layer, spec)
    for layer, why in found.untouched.items():
        writer.untouched(layer, why)
    for key, sentence in _told(library, result, python).items():
        writer.note(key, sentence)
    progress(f"running {library.distribution}", 1, 1)
    return writer.finish()


def _work(
    method: Reference,
    name: str,
    source: Source,
    shards: Shards,
    calibration: Calibration | None,
    job: Path,
    python: Path,
) -> Result:
    from safetensors.torch import save_file

    from methods._affine import misfit
    from methods._worker import run

    job.mkdir()
    asked = {
        "method": name,
        "params": asdict(method),
        "model": str(source.folder.absolute()),
        "dtype": shards.dtype,
        "device": source.device,
        "ignore": [linear for linear, (_, columns) in linears(shards).items() if misfit(columns, method.group)],
    }
    (job / "job.json").write_text(json.dumps(asked), encoding="utf-8")
    if calibration is not None:
        save_file({"tokens": calibration.tokens.cpu().contiguous()}, job / "tokens.safetensors")
    return run(job, python, _libraries.LIBRARIES[name].distribution, float(os.environ.get(SECONDS) or LIMIT))


def _dressed(checkpoint: Path, source: Source) -> None:
    from methods._checkpoint import dress, quantization_of

    quantization = quantization_of(checkpoint)
    for path in checkpoint.iterdir():  # what is left is the library's weights, and what it says of them
        if path.suffix != ".safetensors" and not path.name.endswith(".safetensors.index.json"):
            path.unlink() if path.is_file() else shutil.rmtree(path)
    dress(checkpoint, source.folder, quantization)


def _compare(check: Path, layers: Mapping[str, Mapping[str, Any]], checkpoint: Path, who: str) -> None:
    """What we read in the library's checkpoint against what it read itself, for the layers it told."""
    from safetensors.torch import load_file

    from methods._checkpoint import plain_tensors
    from methods._shards import Shards
    from methods._worker import WorkerFailed

    if not check.exists():
        return
    stored = Shards(checkpoint)
    for stem, own in load_file(check).items():
        tensors = {name: stored[name] for name in stored.names() if name.startswith(f"{stem}.")}
        ours: Tensor = plain_tensors({stem: layers[stem]}, tensors)[f"{stem}.weight"]
        off = float((ours - own).abs().max() / own.abs().max())
        if not off <= TOLERANCE:
            raise WorkerFailed(
                f"{who}'s checkpoint cannot be trusted: what it stores for {stem} is {off:.2g} of the largest weight "
                "away from what the library itself reads there."
            )


def _told(library: _libraries.Library, result: Result, python: Path) -> dict[str, str]:
    versions = {library.distribution: library.version, **result.versions}
    return {
        **result.notes,
        "library": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "library took": f"{result.seconds:,.1f} s for its own work; at most {result.peak_bytes / 1e6:,.0f} MB at once",
    }


def linears(shards: Shards) -> dict[str, tuple[int, int]]:
    """Every matrix of the decoder blocks by its layer's name: ``(out, in)``."""
    from methods._shards import EMBEDDING, HEAD

    names = (name for name in shards.names() if name.endswith(".weight") and name not in (EMBEDDING, HEAD))
    shapes = {name.removesuffix(".weight"): shards[name].shape for name in names}
    return {name: (shape[0], shape[1]) for name, shape in shapes.items() if len(shape) == 2}


def load_model(job: Job, dtype: str | None = None) -> Any:
    """The original in the worker, on the CPU, in the type it is stored in or another."""
    import torch
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    model = auto.from_pretrained(job.model, dtype=getattr(torch, dtype or job.dtype))
    return model.to(job.device).eval()


def save_packed(job: Job, model: Any, packed: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any]) -> None:
    """A checkpoint for a library that saves none as safetensors: its own packed tensors beside the plain ones."""
    from safetensors.torch import save_file

    inside = {f"{name}.weight" for name in packed}
    tensors = {name: p.detach() for name, p in model.named_parameters() if name not in inside}
    tensors |= {f"{name}.{part}": tensor for name, parts in packed.items() for part, tensor in parts.items()}
    save_file(
        {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, job.checkpoint / "model.safetensors"
    )
    text = json.dumps({"quantization_config": dict(config)})
    (job.checkpoint / "config.json").write_text(text, encoding="utf-8")
