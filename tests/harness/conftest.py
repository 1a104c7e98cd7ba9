from __future__ import annotations

import pytest

NONE = """
class None_(Compressor):
    "The original."
"""
RTN = """
class Rtn(Compressor):
    "Plain rounding."
    bits: int = 4
    "Bits per weight."
    granularity: str = "group:128"
    symmetric: bool = False
    share: float = 1.0
"""
AWQ = """
class Awq(Compressor):
    "Scale search."
    needs: ClassVar[frozenset[str]] = frozenset({"abs_mean"})
    bits: int = 4
    format: Literal["gemm", "gemv"] = "gemm"
"""
PERPLEXITY = """
NAME = "perplexity"
VERSION = 2
SUMMARY = "Nats per token."
FIELDS = {"corpus": ("bundled", "test text"), "protocol": ("rolling", "windows"), "window": (None, "tokens")}
"""
FOOTPRINT = """
NAME = "footprint"
VERSION = 1
SUMMARY = "Bytes by part."
FIELDS = {}
"""


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """Methods none, rtn and awq and the three tasks, as stand-ins that import nothing and never change."""
    from harness import tasks
    from methods import _listing

    folder = tmp_path / "listed"
    for kind, files in (
        ("methods", {"none": NONE, "rtn": RTN, "awq": AWQ}),
        (
            "tasks",
            {
                "perplexity": PERPLEXITY,
                "fidelity": PERPLEXITY.replace("perplexity", "fidelity").replace("VERSION = 2", "VERSION = 5"),
                "footprint": FOOTPRINT,
            },
        ),
    ):
        (folder / kind).mkdir(parents=True)
        for name, text in files.items():
            (folder / kind / f"{name}.py").write_text(text)
    monkeypatch.setattr(_listing, "FOLDER", folder / "methods")
    monkeypatch.setattr(tasks, "_FOLDER", folder / "tasks")
