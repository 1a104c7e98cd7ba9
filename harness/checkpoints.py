"""The checkpoints that a sweep takes as they are: found, and told apart by their content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.bundled import dequantized
from harness.digests import file_sha256, folder_digest
from harness.problems import UserError
from harness.specs import MethodSpec, SweepConfig
from results.cell import Scalar

METHOD = "checkpoint"
DIGITS = 12
"""Of a folder's digest, so many tell it apart."""


def pinned(config: SweepConfig, cache: Path) -> SweepConfig:
    """The sweep with each `checkpoint` method's folder made absolute and its digest filled in.

    A GGUF file becomes a folder in the cache that holds its very bytes, tensor by tensor. Raises UserError for a
    folder or file that is missing, cut short, or not the one whose digest the sweep file names.
    """
    return replace(config, methods=tuple(_pinned(method, cache) for method in config.methods))


def _pinned(method: MethodSpec, cache: Path) -> MethodSpec:
    if method.name != METHOD:
        return method
    given = str(method.params["path"])
    folder = Path(given).expanduser().absolute()
    if given.lower().endswith(".gguf") and (file := folder).is_file():
        folder = dequantized(file_sha256(file, cache), lambda _: file, cache, packed=True)
    if not given or not (folder / "config.json").is_file():
        raise UserError(
            f"checkpoint: path='{given}' is no folder with a config.json and no GGUF file; name the compressed model's "
            "folder, as in 'checkpoint:path=models/gemma-gptq', and the model it was made from with --model."
        )
    try:
        digest = folder_digest(folder, cache)[:DIGITS]
    except ValueError as error:
        raise UserError(f"checkpoint: '{given}' is damaged: {error}.") from error
    asked = method.params["digest"]
    if asked and asked != digest:
        raise UserError(f"checkpoint: '{given}' has the digest {digest}, not {asked}: its files are others by now.")
    params: Mapping[str, Scalar] = {**method.params, "path": str(folder), "digest": digest}
    return replace(method, params=params)
