"""The original, as it is: the model every other variant is compared with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from methods._files import copy_companions, copy_file
from methods._shards import Shards, require_finite
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, Progress, Source, silent


@dataclass(frozen=True)
class Uncompressed(Compressor):
    """Keeps every tensor; goes to disk and is loaded back and verified like any other variant."""

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        writer = Writer(folder, source, "none", asdict(self), self.code, format="transformers")
        shards = Shards(source.folder)
        for name in shards.names():
            require_finite(name, shards[name])
        files = sorted({shards.file(name) for name in shards.names()})
        for done, path in enumerate(files, start=1):
            # A second name for the same file where the disk allows it; loading checks every byte, so an original
            # that is changed afterwards is noticed.
            copy_file(path, writer.checkpoint / path.name, link=True)
            progress("storing the original", done, len(files))
        copy_companions(source.folder, writer.checkpoint)
        if (index := source.folder / "model.safetensors.index.json").is_file():
            copy_file(index, writer.checkpoint / index.name)
        return writer.finish()
