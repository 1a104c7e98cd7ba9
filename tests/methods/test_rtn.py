"""Round to nearest on every family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from methods import artifact
from methods._affine import fake
from methods._blocks import family as family_of
from methods.base import UnsupportedModel
from methods.rtn import Rtn

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text")
IDS = torch.randint(3, 96, (2, 24), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [True, False])
def test_the_reloaded_model_is_the_original_with_rounded_weights(
    family: str, tied: bool, tiny_source: Any, tmp_path: Path
) -> None:
    source = tiny_source(family, tmp_path / "m", tied=tied)
    Rtn(bits=3, granularity="group:32").compress(source, None, tmp_path / "a")
    expected = source.model()
    names = family_of(source.config).linears
    with torch.no_grad():
        for block in expected.model.layers:
            for name in names:
                weight = block.get_submodule(name).weight
                weight.copy_(fake(weight, 3, 32))
    for materialize in (True, False):
        model = artifact.load(tmp_path / "a", materialize=materialize)
        assert torch.equal(model(IDS).logits, expected(IDS).logits)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_more_bits_less_error(bits: int, tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("llama", tmp_path / "m")
    Rtn(bits=bits, granularity="row", symmetric=True).compress(source, None, tmp_path / "a")
    error = (artifact.load(tmp_path / "a")(IDS).logits - source.model()(IDS).logits).abs().mean()
    ceiling = {2: 5.0, 3: 1.5, 4: 0.6, 8: 0.05}[bits]
    assert ceiling / 30 < error < ceiling
    # 64-wide rows: 16 bits of scale per row of 64 or 128 weights, no zeros
    assert artifact.weigh(tmp_path / "a").bits_per_weight == pytest.approx(bits + 16 * (7 * 64 + 64) / 36864, rel=0.2)


def test_groups_that_do_not_fit_are_left_and_recorded(tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("qwen2", tmp_path / "m")
    result = Rtn(granularity="group:128").compress(source, None, tmp_path / "a")
    manifest = artifact.read_manifest(tmp_path / "a")
    assert set(manifest.layers) == {"model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"}
    assert len(result.untouched) == 13  # six linears in each of two blocks, and the head
    assert result.untouched["model.layers.1.self_attn.o_proj"] == "groups of 128 do not divide its 64 input channels"
    assert result.untouched["lm_head"] == "embeddings and the head stay as they are"
    assert torch.equal(
        artifact.load(tmp_path / "a").model.layers[0].self_attn.q_proj.weight,
        source.model().model.layers[0].self_attn.q_proj.weight,
    )


def test_the_type_that_runs_does_not_change_what_is_stored(tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("gemma3_text", tmp_path / "m", tied=True)
    Rtn(granularity="row").compress(source, None, tmp_path / "a")
    Rtn(granularity="row").compress(replace(source, dtype="bfloat16"), None, tmp_path / "b")
    first, second = (artifact.read_manifest(tmp_path / name) for name in "ab")
    assert first.tensors == second.tensors
    model = artifact.load(tmp_path / "b", "bfloat16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_an_interrupted_run_resumes_and_a_changed_one_starts_anew(tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("llama", tmp_path / "m", layers=3)
    folder = tmp_path / "a"

    def stop(what: str, done: int, total: int) -> None:
        assert (what, total) == ("rounding blocks", 3)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Rtn(granularity="group:128").compress(source, None, folder, stop)
    with pytest.raises(artifact.DamagedArtifact, match="compressing did not finish"):
        artifact.load(folder)
    first = folder / "block-00000.safetensors"
    before = first.stat().st_mtime_ns
    resumed = Rtn(granularity="group:128").compress(source, None, folder)
    assert first.stat().st_mtime_ns == before
    whole = Rtn(granularity="group:128").compress(source, None, tmp_path / "b")
    assert resumed.digest == whole.digest
    assert resumed.untouched == whole.untouched

    changed = Rtn(bits=3, granularity="group:128").compress(source, None, folder)
    assert first.stat().st_mtime_ns != before
    assert changed.digest != whole.digest
    other = Rtn(granularity="group:128").compress(replace(source, digest="another"), None, folder)
    assert artifact.read_manifest(folder).base == "another"
    assert other.digest != whole.digest


def test_weights_that_are_not_finite_are_refused_by_name(tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("llama", tmp_path / "m")
    path = source.folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ValueError, match=r"model\.layers\.1\.mlp\.up_proj\.weight holds 1 values that are not finite"):
        Rtn(granularity="row").compress(source, None, tmp_path / "a")


def test_mistakes_are_answered_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"bits=5: allowed are 2, 3, 4, 8\."):
        Rtn(bits=5)
    with pytest.raises(ValueError, match="granularity='group': allowed are"):
        Rtn(granularity="group")
    with pytest.raises(ValueError, match="symmetric=1: allowed are true and false"):
        Rtn(symmetric=1)  # type: ignore[arg-type]


def test_an_unknown_architecture_is_refused(tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("llama", tmp_path / "m")
    config = source.folder / "config.json"
    config.write_text(config.read_text().replace('"model_type": "llama"', '"model_type": "gpt2"'))
    with pytest.raises(UnsupportedModel, match="gpt2"):
        Rtn(granularity="row").compress(source, None, tmp_path / "a")
