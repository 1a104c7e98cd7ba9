"""The cache folder: what lies in it, and making room. It never looks at or touches anything outside its own folders.

artifacts/<digest>/   compressed models          moments/      what methods read from calibration text
models/<name>/        originals made from GGUF   hidden/       final hidden states of `none`
draws/                fingerprints of calibration draws, known without loading a tokenizer
responses/<digest>/   what an artifact answered to the items of lm-eval's tasks
environments/         reference libraries        digests.json  digests of originals by inode, size and time
speeds.json, spreads.json    what earlier sweeps took and found, for forecasts
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.problems import UserError
from methods._lease import SUFFIX, is_held

KINDS = ("artifacts", "draws", "environments", "hidden", "models", "moments", "responses")
_WHAT = {
    "draws": "the fingerprint of a calibration draw",
    "environments": "an environment of a reference library",
    "hidden": "hidden states of an original",
    "models": "an original model",
    "moments": "moments of calibration text",
    "responses": "an artifact's answers to items",
}
FILES = ("digests.json", "speeds.json", "spreads.json")
MANIFEST = "manifest.json"
DAY = 86_400.0


@dataclass(frozen=True)
class Entry:
    """One thing in the cache, made and removed as a whole."""

    kind: str
    path: Path
    what: str
    """For readers: method and parameters of an artifact, else what the kind holds."""
    bytes: int
    used: float
    """When a file of it was last read or written, in seconds since 1970."""
    damaged: str | None = None
    """Why it is of no use, or None."""

    @property
    def digest(self) -> str:
        """Its name, which is the digest it is found by."""
        return self.path.name


def entries(cache: Path) -> list[Entry]:
    """Everything in the cache, kind by kind, the longest unused first. An empty or missing cache gives none."""
    found = (_entry(kind, path) for kind in KINDS for path in _children(cache / kind))
    return sorted(found, key=lambda entry: (KINDS.index(entry.kind), entry.used, entry.path.name))


def prune(cache: Path, older_than: float | None = None, kind: str | None = None, dry_run: bool = False) -> list[Entry]:
    """Remove entries unused for ``older_than`` seconds (None: any) and of ``kind`` (None: every); return them.

    ``dry_run`` only returns them. What a process is making right now stays. Links are removed as links: what they
    point to stays. Raises UserError for a folder that is no cache of ours.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it is one of {KINDS}")
    require_cache(cache)
    before = time.time() - older_than if older_than is not None else float("inf")
    gone = [
        entry
        for entry in entries(cache)
        if kind in (None, entry.kind) and entry.used < before and not is_held(entry.path)
    ]
    for entry in () if dry_run else gone:
        _remove(cache, entry.path)
    return gone


def require_cache(cache: Path) -> None:
    """Refuse a folder that holds things we never put into a cache: somebody named the wrong one."""
    if not cache.exists():
        return
    if not cache.is_dir():
        raise UserError(f"The cache '{cache}' is no folder; name one with --cache.")
    strange = sorted(path.name for path in cache.iterdir() if path.name not in (*KINDS, *FILES, "lock"))
    strange = [name for name in strange if not name.startswith(".")]
    if strange:
        raise UserError(
            f"'{cache}' does not look like our cache: it holds '{strange[0]}'. Nothing was removed; "
            "name the right folder with --cache, or move that away."
        )


def seconds(text: str) -> float:
    """A length of time in words of the command line. Raises ValueError for anything else.

    >>> seconds("30d"), seconds("12h"), seconds("2w")
    (2592000.0, 43200.0, 1209600.0)
    """
    found = re.fullmatch(r"(\d+)([hdw])", text)
    if not found:
        raise ValueError(f"'{text}' is no length of time; write 12h, 30d or 8w")
    return int(found[1]) * {"h": 3600.0, "d": DAY, "w": 7 * DAY}[found[2]]


def _children(folder: Path) -> list[Path]:
    """A kind's entries; a kind that is a link leads outside and has none. Leases stand beside what they lock."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.suffix != SUFFIX)


def _entry(kind: str, path: Path) -> Entry:
    files = list(_files(path))
    size = sum(file.stat().st_size for file in files)
    used = max(map(_used, files), default=path.lstat().st_mtime)
    what, damaged = _artifact(path) if kind == "artifacts" else (_WHAT[kind], None)
    if path.is_symlink():
        what, damaged = "a link", "it leads out of the cache"
    elif not files or not size:
        damaged = "it is empty"
    return Entry(kind, path, what, size, used, damaged)


def _files(path: Path) -> Iterator[Path]:
    """Every file at or under ``path``, links not followed."""
    if not path.is_symlink():
        yield from (file for file in (path.rglob("*") if path.is_dir() else [path]) if _is_plain(file))


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _used(file: Path) -> float:
    """When a file was last written or read. Reading a manifest is no use: this listing does it."""
    stat = file.stat()
    return stat.st_mtime if file.name == MANIFEST else max(stat.st_atime, stat.st_mtime)


def _artifact(path: Path) -> tuple[str, str | None]:
    """What an artifact is by its manifest, and why it is of no use."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        params = manifest.get("params") or {}
        what = " ".join([str(manifest["method"]), *(f"{key}={value}" for key, value in params.items())])
    except FileNotFoundError:
        return "an artifact", "it has no manifest: it is being written, or was interrupted"
    except (OSError, ValueError, KeyError, AttributeError) as error:
        return "an artifact", f"its manifest cannot be read ({error})"
    return what, None


def _remove(cache: Path, path: Path) -> None:
    if path.parent.parent != cache or path.parent.name not in KINDS:
        raise ValueError(f"{path} is no entry of the cache {cache}")
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        # A folder that lost its manifest first is a damaged entry, never a believed half of one.
        (path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path)
