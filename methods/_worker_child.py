"""The worker's side of ``_worker``, run by path in the Python of a library. Imports nothing of ours but ``methods``.

The folder above ``methods`` is not put on the path: it may be another environment's site-packages.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import resource
import signal
import sys
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any


class Job:
    """What a library is asked, and what it says about it."""

    def __init__(self, folder: Path) -> None:
        asked = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        self.folder = folder
        self.method: str = asked["method"]
        self.params: dict[str, Any] = asked["params"]
        self.model = Path(asked["model"])
        self.dtype: str = asked["dtype"]
        """The type the checkpoint has its weights in."""
        self.device: str = asked["device"]
        self.ignore: list[str] = asked["ignore"]
        """Linears that are to stay as they are."""
        self.checkpoint = folder / "checkpoint"
        self.notes: dict[str, str] = {}
        self.seconds = 0.0

    def tokens(self) -> Any:
        """Calibration token ids, int64 ``(n, length)``: whoever takes them hands all of them to the library."""
        from safetensors.torch import load_file

        tokens = load_file(self.folder / "tokens.safetensors")["tokens"]
        said = f"all {tokens.numel():,} calibration tokens, {len(tokens)} sequences, none cut or dropped"
        self.note("calibration", said)
        return tokens

    def note(self, name: str, sentence: str) -> None:
        self.notes[name] = sentence

    def check(self, weights: dict[str, Any]) -> None:
        """Weights as the library itself dequantizes them, float32 ``(out, in)``: what is read back is held to them."""
        from safetensors.torch import save_file

        save_file({name: w.detach().float().cpu().contiguous() for name, w in weights.items()}, self.folder / "check")

    def __enter__(self) -> Job:
        """``with job:`` around the library's own work: it is timed."""
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began


def main(folder: Path) -> int:
    _guard()
    try:
        _import_methods()
        from methods import load

        job = Job(folder)
        job.checkpoint.mkdir()
        load(job.method)(**job.params).quantize(job)  # type: ignore[attr-defined]
        result = {
            "notes": job.notes,
            "versions": {name: v for name in ("torch", "transformers") if (v := _version(name))},
            "seconds": round(job.seconds, 3),
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
    except BaseException as error:
        traceback.print_exc()
        result = {"error": {"type": type(error).__name__, "message": str(error)}}
    sys.stdout.flush()
    sys.stderr.flush()
    temporary = folder / ".result.tmp"
    temporary.write_text(json.dumps(result), encoding="utf-8")
    temporary.replace(folder / "result.json")
    return 0


def _guard() -> None:
    """Fork a guardian before anything big is loaded: it kills the group once nobody holds the other end of stdin."""
    with contextlib.suppress(OSError):  # where memory runs out, the worker is to go, not who called it
        Path("/proc/self/oom_score_adj").write_text("500")
    if os.fork():
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def _import_methods() -> None:
    folder = Path(__file__).parent
    spec = importlib.util.spec_from_file_location("methods", folder / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    spec.submodule_search_locations = [str(folder)]
    sys.modules["methods"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    # Past every exit handler: a library's threads may hang in theirs when all work is done and written.
    os._exit(main(Path(sys.argv[1])))
