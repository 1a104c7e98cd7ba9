"""The reference libraries: which release of each is supported, how it is installed, and which Python here has it.

A library lives in the environment that runs us, or in one of its own that ``langgap reference install`` builds in the
cache; the latter is asked first. Light: imports no library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from methods.base import MissingLibrary

TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Library:
    distribution: str
    """Its name in the package index."""
    version: str
    """The one release that is supported."""
    environment: str
    """The environment that ``langgap reference install`` builds for it."""


ENVIRONMENTS: Mapping[str, tuple[str, ...]] = {
    "reference": (
        TORCH,
        "transformers==5.17.0",
        "accelerate==1.15.0",
        "bitsandbytes==0.50.2",
        "llmcompressor==0.14.0.1",
        "gptqmodel==7.5.0",
        "optimum==2.3.0",
        "hqq==0.2.8.post1",
        "optimum-quanto==0.2.7",
        "torchao==0.18.0",
        "auto-round==0.15.1",
    ),
    "autoawq": (TORCH, "transformers==5.17.0", "accelerate==1.15.0", "autoawq==0.2.9"),
    "autogptq": (
        TORCH,
        "transformers==4.49.0",
        "accelerate==1.5.2",
        "datasets==3.6.0",
        "peft==0.14.0",
        "auto-gptq==0.7.1",
    ),
}
"""Name -> pinned requirements. auto-gptq needs an old transformers; autoawq is retired and pulls 1 GB of triton."""

LIBRARIES: Mapping[str, Library] = {
    "ref_autoawq": Library("autoawq", "0.2.9", "autoawq"),
    "ref_autogptq": Library("auto-gptq", "0.7.1", "autogptq"),
    "ref_autoround": Library("auto-round", "0.15.1", "reference"),
    "ref_gptqmodel": Library("gptqmodel", "7.5.0", "reference"),
    "ref_hqq": Library("hqq", "0.2.8.post1", "reference"),
    "ref_llmcompressor": Library("llmcompressor", "0.14.0.1", "reference"),
    "ref_quanto": Library("optimum-quanto", "0.2.7", "reference"),
    "ref_torchao": Library("torchao", "0.18.0", "reference"),
}
"""Method -> the library it runs in a process of its own. ``ref_bitsandbytes`` runs in ours."""


def environments_folder() -> Path:
    """``$LANGGAP_CACHE/environments``, else ``~/.cache/langgap/environments``."""
    return Path(os.environ.get("LANGGAP_CACHE") or "~/.cache/langgap").expanduser() / "environments"


def python_in(environment: Path) -> Path:
    return environment / "bin" / "python"


def find(method: str) -> Path:
    """The Python that has a method's library, in its own environment or in ours.

    Raises MissingLibrary, naming the command that installs it, where there is none or only another release of it.
    """
    library = LIBRARIES[method]
    own = environments_folder() / library.environment
    found = {
        python: version
        for python, version in ((python_in(own), version_in(own, library)), (Path(sys.executable), here(library)))
        if version
    }
    for python, version in found.items():
        if version == library.version:
            return python
    install = f"Install it with: langgap reference install {library.environment}"
    if not found:
        raise MissingLibrary(
            f"Method {method} needs the library {library.distribution}, which is not installed. {install}"
        )
    raise MissingLibrary(
        f"Method {method} supports {library.distribution} {library.version}, and "
        f"{' and '.join(found.values())} is installed. {install}"
    )


def here(library: Library) -> str | None:
    """The installed release of a library in the environment that runs us."""
    try:
        return metadata.version(library.distribution)
    except metadata.PackageNotFoundError:
        return None


def version_in(environment: Path, library: Library) -> str | None:
    """The installed release of a library in an environment of its own, by its metadata: nothing of it is run."""
    if not python_in(environment).exists():
        return None
    sites = [str(path) for path in environment.glob("lib/python*/site-packages")]
    found = metadata.distributions(name=library.distribution, path=sites)
    return next((distribution.version for distribution in found), None)
