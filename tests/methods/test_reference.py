"""Reference libraries from our side: found or not, given the same tokens, believed only where their checkpoint fits.

The library is a stand-in for HQQ in an environment of its own; the real ones are in `test_reference_real.py`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import methods
from methods import _libraries, artifact
from methods._libraries import LIBRARIES
from methods._worker import WorkerFailed
from methods.base import Calibration, MissingLibrary
from methods.ref_hqq import Hqq
from methods.ref_llmcompressor import LlmCompressor

HQQ = """
    import torch

    class HQQLinear: ...  # transformers looks for it

    class Quantizer:
        @staticmethod
        def quantize(weight, nbits, group_size, axis, device, compute_dtype):
            rows = weight.float().reshape(-1, group_size)
            low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
            scale = ((high - low) / 15).half()
            zero = (-low / scale.float()).half()
            codes = (rows / scale.float() + zero.float()).round().clamp(0, 15).to(torch.uint8)
            half = len(codes) // 2
            meta = {"scale": scale, "zero": zero, "packing": "4bit_u8", "shape": weight.shape}
            return codes[:half] << 4 | codes[half:], meta

        @staticmethod
        def dequantize(packed, meta):
            codes = torch.cat([packed >> 4, packed & 15]).float()
            return ((codes - meta["zero"].float()) * meta["scale"].float()).reshape(meta["shape"]) OFF
"""


def environment(cache: Path, off: str = "", version: str = "0.2.8.post1") -> None:
    """An environment `reference` whose Python is ours and whose hqq is the one above, ``off`` by something."""
    folder = cache / "environments" / "reference"
    site = folder / "lib" / "python3.11" / "site-packages"
    (site / "hqq" / "core").mkdir(parents=True)
    (site / "hqq" / "core" / "quantize.py").write_text(textwrap.dedent(HQQ.replace("OFF", off)), encoding="utf-8")
    info = site / f"hqq-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: hqq\nVersion: {version}\n", encoding="utf-8")
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{site}" exec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LANGGAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_libraries, "here", lambda library: None)
    return tmp_path / "cache"


def test_what_the_library_makes_is_kept_read_back_and_weighed(cache: Path, tiny_source: Any, tmp_path: Path) -> None:
    environment(cache)
    source = tiny_source("gemma3_text", tmp_path / "m", tied=True)
    made = Hqq(granularity="group:32").compress(source, None, tmp_path / "a")
    model, original = artifact.load(tmp_path / "a"), source.model()
    layers = artifact.read_manifest(tmp_path / "a").layers
    assert len(layers) == 14
    for name in layers:
        weight, read = original.get_submodule(name).weight, model.get_submodule(name).weight
        step = (weight.reshape(-1, 32).amax(1) - weight.reshape(-1, 32).amin(1)) / 15
        assert ((read - weight).reshape(-1, 32).abs().amax(1) <= 0.52 * step + 1e-3).all(), name
    footprint = artifact.weigh(tmp_path / "a")
    assert footprint.bits_per_weight == 4 + 2 * 16 / 32
    assert footprint.head == 0
    assert made.notes["library"].startswith("hqq 0.2.8.post1, torch 2.")
    assert "s for its own work; at most" in made.notes["library took"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "checkpoint",
        "manifest.json",
        "notes.json",
        "recipe.json",
    ]


def test_a_checkpoint_that_is_not_what_the_library_reads_is_not_believed(
    cache: Path, tiny_source: Any, tmp_path: Path
) -> None:
    environment(cache, off="* 1.1")
    source = tiny_source("llama", tmp_path / "m")
    said = r"^hqq's checkpoint cannot be trusted: what it stores for model.layers.0.self_attn.q_proj is 0.09"
    with pytest.raises(WorkerFailed, match=said):
        Hqq(granularity="group:32").compress(source, None, tmp_path / "a")
    assert not (tmp_path / "a").exists()  # nothing is left that could be taken for an artifact


@pytest.mark.parametrize("stage", ["methods._worker.run", "methods._checkpoint.adopt"])
def test_what_a_killed_run_leaves_is_no_artifact_and_in_nobody_s_way(
    cache: Path, tiny_source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Killed while the library works, and while its checkpoint is taken over. (Its processes: `test_worker.py`.)"""
    environment(cache)
    source, folder = tiny_source("llama", tmp_path / "m"), tmp_path / "a"

    def compress() -> None:
        Hqq(granularity="group:32").compress(source, None, folder)

    with monkeypatch.context() as patched:
        patched.setattr(stage, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        child = multiprocessing.get_context("fork").Process(target=compress)
        child.start()
        child.join()
    assert child.exitcode == -signal.SIGKILL
    assert (folder / "job").exists()
    assert not (folder / "manifest.json").exists()
    compress()
    assert not (folder / "job").exists()
    assert artifact.weigh(folder).bits_per_weight == 5.0


@pytest.mark.parametrize("method", LIBRARIES)
def test_without_the_library_the_command_is_named(cache: Path, tiny_source: Any, tmp_path: Path, method: str) -> None:
    library = LIBRARIES[method]
    said = (
        f"Method {method} needs the library {library.distribution}, which is not installed. "
        f"Install it with: langgap reference install {library.environment}"
    )
    with pytest.raises(MissingLibrary) as caught:
        methods.load(method)().compress(tiny_source("llama", tmp_path / "m"), None, tmp_path / "a")
    assert str(caught.value) == said
    assert not (tmp_path / "a").exists()


def test_another_release_is_refused_with_the_one_that_is_supported(
    cache: Path, tiny_source: Any, tmp_path: Path
) -> None:
    environment(cache, version="0.1.0")
    said = r"^Method ref_hqq supports hqq 0.2.8.post1, and 0.1.0 is installed. Install it with: langgap reference"
    with pytest.raises(MissingLibrary, match=said):
        Hqq().compress(tiny_source("llama", tmp_path / "m"), None, tmp_path / "a")


def test_ours_is_taken_where_it_has_the_supported_release(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_libraries, "here", lambda library: library.version)
    assert str(_libraries.find("ref_hqq")) == sys.executable
    environment(cache)
    assert _libraries.find("ref_hqq") == cache / "environments" / "reference" / "bin" / "python"


def test_the_job_holds_the_very_tokens_and_what_groups_do_not_divide(
    cache: Path, tiny_source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_libraries, "here", lambda library: library.version)
    seen: dict[str, Any] = {}

    def run(job: Path, python: Path, who: str, limit: float) -> None:
        seen.update(json.loads((job / "job.json").read_text()), **load_file(job / "tokens.safetensors"))
        raise WorkerFailed(f"{who} was stopped after {limit:,.0f} seconds")

    monkeypatch.setattr("methods._worker.run", run)
    monkeypatch.setenv("LANGGAP_REFERENCE_SECONDS", "30")
    tokens = torch.randint(3, 96, (3, 16))
    calibration = Calibration(tokens, ("en",) * 3, {"en": 1.0}, "fingerprint")
    source = tiny_source("llama", tmp_path / "m")
    with pytest.raises(WorkerFailed, match="llmcompressor was stopped after 30 seconds"):
        LlmCompressor(granularity="group:128").compress(source, calibration, tmp_path / "a")
    assert torch.equal(seen["tokens"], tokens)
    wide = {f"model.layers.{block}.mlp.down_proj" for block in (0, 1)}  # 128 inputs; all others have 64
    assert len(seen["ignore"]) == 12
    assert not wide & set(seen["ignore"])
    assert seen["method"] == "ref_llmcompressor"
    assert seen["params"]["format"] == "gptq"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("method", [name for name in LIBRARIES if methods.needs(name)])
def test_a_method_that_calibrates_says_that_it_needs_text(
    cache: Path, tiny_source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(_libraries, "here", lambda library: library.version)
    with pytest.raises(ValueError, match=f"{method} needs calibration text"):
        methods.load(method)().compress(tiny_source("llama", tmp_path / "m"), None, tmp_path / "a")


@pytest.mark.parametrize(
    ("method", "params", "said"),
    [
        (
            "ref_llmcompressor",
            {"format": "awk"},
            "format='awk': allowed are rtn, gptq, awq, smoothquant_w8a8,",
        ),
        ("ref_llmcompressor", {"bits": 3}, "bits=3: allowed are 4, 8"),
        ("ref_llmcompressor", {"sparsity": 1.5}, "sparsity=1.5: allowed are numbers above 0 and below 1"),
        ("ref_gptqmodel", {"format": "awq", "bits": 3}, "bits=3: allowed is 4 with format='awq'"),
        ("ref_gptqmodel", {"format": "awq", "symmetric": True}, "format='awq' has no symmetric grid"),
        ("ref_hqq", {"granularity": "row"}, "granularity='row': allowed is 'group:SIZE'"),
        ("ref_quanto", {"format": "int3"}, "format='int3': allowed are int8, int4, int2, float8"),
        ("ref_torchao", {"bits": True}, "bits=True: allowed are 2, 3, 4, 8"),
        ("ref_autoround", {"steps": -1}, "steps=-1: allowed are 0"),
        ("ref_autoawq", {"granularity": "row"}, "granularity='row': allowed is 'group:SIZE'"),
        ("ref_autogptq", {"granularity": "all"}, "granularity='all': allowed are 'row' and 'group:SIZE'"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(method: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        methods.load(method)(**params)
