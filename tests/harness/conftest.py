from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "judges"))  # for its fault-injecting server

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
COUNTING = """
class Counting(Compressor):
    "Keeps the neurons of a language."
    needs: ClassVar[frozenset[str]] = frozenset({"abs_mean", "firing"})
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


@pytest.fixture
def counting(listed, tmp_path):
    """As ``listed``, and a method of this name that counts neurons."""
    (tmp_path / "listed" / "methods" / "counting.py").write_text(COUNTING)


class TinySweep:
    """Sweeps over a tiny model, without their pages: by default none and rtn, English and Korean, 10 cells."""

    def __init__(self, folder, path):
        self.folder, self.path = folder, path

    def config(self, family="llama", **changes):
        from harness.config import parse_config

        base = {
            "models": [str(self.folder(family))],
            "languages": ["en", "ko"],
            "limit": 2,
            "calibration": {"sequences": 2, "length": 32},
            "method": [{"name": "none"}, {"name": "rtn", "granularity": "row"}],
        }
        return parse_config({**base, **changes}, "test")

    def __call__(self, run="run", cache="cache", strict=False, **changes):
        """The exit code. ``run`` and ``cache`` are folders of the test's own."""
        from harness.sweep import SweepOptions, run_sweep

        return run_sweep(self.config(**changes), SweepOptions(self.path / run, self.path / cache, strict))

    def records(self, run="run"):
        """(method, bits or None, task, language) -> the latest record."""
        from results.store import Run

        found = Run.open(self.path / run).records()
        return {
            (it.cell.variant.method, it.cell.variant.params.get("bits"), it.cell.task, it.cell.language): it
            for it in found
        }

    def told(self, run="run"):
        """Cell key -> all that must not depend on interruptions, so not seconds, created and environment."""
        from results.store import Run

        opened = Run.open(self.path / run)
        return {
            it.cell.key: (it.status, it.reason, it.artifact, it.notes, it.estimates, opened.samples(it.cell.key))
            for it in opened.records()
        }


@pytest.fixture
def tiny_sweep(tiny_folder, tmp_path, monkeypatch):
    import torch

    from harness import scoring, sweep

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small wait for a second thread longer than they compute
    monkeypatch.setattr(sweep, "_publish", lambda options, run: None)
    # Small tiles: so the vocabulary comes in pieces here too, and in others with a reference than without.
    monkeypatch.setattr(scoring, "TILE_BYTES", 512 * 1024)
    yield TinySweep(tiny_folder, tmp_path)
    torch.set_num_threads(threads)


class AnsweredRun:
    """A run folder with made-up answers to the first bundled questions, told apart by variant, language and turn."""

    def __init__(self, folder):
        self.folder = folder

    def cell(self, method, language, task="answers", count=3, **params):
        from harness.questions import asked, fingerprint
        from results.cell import Cell, Variant

        variant = Variant("tiny", "w" * 8, method, {"bits": 4} if method != "none" else {})
        text = fingerprint(asked("bundled", language, count))
        return Cell(variant, task, 1, language, text, {"questions": "bundled", "max_new_tokens": 8, **params}, count)

    def __call__(self, methods=("none", "rtn", "awq"), languages=("en", "ko"), count=3, texts=None, fidelity=None):
        """``texts(method, question, turn)`` -> an answer; ``fidelity``: method -> KL divergence to be recorded."""
        from harness.questions import asked
        from results.conversation import Conversation
        from results.estimate import Estimate
        from results.record import Record
        from results.store import Run

        texts = texts or (lambda method, question, turn: f"{method} {question.language} {question.id} {turn}")
        with Run.open(self.folder, write=True) as run:
            for method in methods:
                for language in languages:
                    told = [
                        Conversation(q.id, tuple(texts(method, q, turn) for turn in (1, 2)), ("end",) * 2, (4, 4))
                        for q in asked("bundled", language, count)
                    ]
                    run.append(Record(self.cell(method, language, count=count), "ok"), (), told)
                    if fidelity and method in fidelity:
                        found = {"kld_mean": Estimate(fidelity[method])}
                        run.append(Record(self.cell(method, language, "fidelity"), "ok", found))
        return self.folder


@pytest.fixture
def answered_run(tmp_path):
    return AnsweredRun(tmp_path / "run")


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two nodes of one cpu on this machine, the head being one of them."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'langgap[ray]'")
    from ray.cluster_utils import Cluster

    # Ray's workers are as nice as 15 unless told otherwise, and on a busy machine they wait for minutes.
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    ray.shutdown()
    made.shutdown()
