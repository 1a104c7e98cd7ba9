"""A quantized checkpoint that is there already: its own tensors, weighed and read back, beside the original it is of.

GPTQ, AWQ (gemm), compressed-tensors, AutoRound, HQQ, quanto and torchao layers are dequantized by arithmetic of our own
(``_packs``), bitsandbytes layers by that library, those of a GGUF file by the package ``gguf``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from methods._checkpoint import adopt, dress, quantization_of
from methods._files import copy_file
from methods._shards import Shards, shard_files
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent


@dataclass(frozen=True)
class Checkpoint(Compressor):
    """Takes a transformers folder that another program compressed as a variant of the model it was made from."""

    path: str = ""
    """The folder, or in a sweep a GGUF file."""
    digest: str = ""
    """Digest of the folder's files; a sweep fills it in, so that a changed folder is another variant."""

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        given = Path(self.path).expanduser()
        if not self.path or not (given / "config.json").is_file():
            raise ValueError(f"path={self.path!r}: it has to be a transformers folder, one with a config.json.")
        quantization = quantization_of(given)
        if quantization.get("quant_method") == "bitsandbytes":
            from methods.ref_bitsandbytes import require_library

            require_library()
        writer = Writer(folder, source, "checkpoint", asdict(self), self.code, format="transformers")
        files = shard_files(given)
        for done, path in enumerate(files, start=1):
            copy_file(path, writer.checkpoint / path.name, link=True)
            progress("taking the checkpoint", done, len(files))
        if (index := given / "model.safetensors.index.json").is_file():
            copy_file(index, writer.checkpoint / index.name)
        dress(writer.checkpoint, source.folder, quantization)
        found = adopt(writer.checkpoint, Shards(source.folder), str(quantization.get("quant_method", "its maker")))
        for layer, spec in found.layers.items():
            writer.layer(layer, spec)
        for layer, why in found.untouched.items():
            writer.untouched(layer, why)
        writer.note("checkpoint", f"not made here, but taken from {quantization.get('file', given)}")
        return writer.finish()
