"""Pruning: the published rules, by hand; what is stored; Wanda on pruned inputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from methods import artifact
from methods._blocks import FAMILIES
from methods._prune import by_matrix, by_row, by_run, misfit
from methods._sparse_bitmask import MaskedLinear, pack_bits, unpack_bits
from methods.base import Calibration, Source
from methods.magnitude import Magnitude
from methods.wanda import Wanda

Make = Callable[..., Source]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def calibration() -> Calibration:
    tokens = torch.randint(4, 96, (4, 32), generator=torch.Generator().manual_seed(1))
    tokens[:, 0] = 2
    return Calibration(tokens, ("en", "ko", "en", "ko"), {"en": 0.75, "ko": 0.25}, "fingerprint")


# The rules


def test_the_rules_drop_the_lowest_where_they_compare() -> None:
    scores = torch.tensor([[1.0, 9, 3, 3], [8, 7, 6, 5]])
    assert by_matrix(scores, 0.5).tolist() == [[True, False, True, True], [False, False, True, True]]  # up to 6
    assert by_matrix(torch.arange(8.0).view(2, 4), 0.5).tolist() == [[True] * 4, [True, False, False, False]]
    assert by_row(scores, 0.5).tolist() == [[True, False, True, False], [False, False, True, True]]
    assert by_run(torch.tensor([[1.0, 2, 3, 4, 0, 0, 0, 0]]), "2:4").tolist() == [[1, 1, 0, 0, 1, 1, 0, 0]]
    assert by_run(torch.tensor([[1.0, 2, 3, 4, 0, 0, 5, 5]]), "4:8").tolist() == [[1, 1, 0, 0, 1, 1, 0, 0]]
    in_pairs = by_run(torch.tensor([[0.0, 5, 3, 3, 4, 1, 4, 4]]), "pairwise 4:8")  # squares: 25, 18, 17, 32
    assert in_pairs.tolist() == [[0, 0, 1, 1, 1, 1, 0, 0]]


@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.75])
def test_counts_are_the_published_ones(sparsity: float) -> None:
    scores = random(24, 40).abs()
    assert int(by_matrix(scores, sparsity).sum()) == int(960 * sparsity) + 1  # the threshold's own weight goes too
    assert set(by_row(scores, sparsity).sum(1).tolist()) == {int(40 * sparsity)}
    for pattern, of in (("2:4", 4), ("4:8", 8)):
        assert set(by_run(scores, pattern).view(-1, of).sum(1).tolist()) == {of // 2}
    assert misfit(42, "2:4") == "runs of 4 do not divide its 42 input channels"
    assert misfit(42, "unstructured") is None


# Storage


@pytest.mark.parametrize("columns", [8, 13, 64])
def test_bits_come_back(columns: int) -> None:
    mask = random(7, columns) > 0
    assert pack_bits(mask).shape == (7, (columns + 7) // 8)
    assert torch.equal(unpack_bits(pack_bits(mask), columns), mask)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_layer_holds_what_is_not_zero(dtype: torch.dtype) -> None:
    weight = (random(6, 20) * (random(6, 20, seed=1) > 0)).to(dtype)
    layer = MaskedLinear.from_weight(weight, random(6))
    with torch.device("meta"):
        empty = MaskedLinear.from_spec(json.loads(json.dumps(layer.spec())))
    empty.load_state_dict(layer.state_dict(), assign=True)
    kept = torch.bfloat16 if dtype == torch.bfloat16 else torch.float16
    assert torch.equal(empty.dequantize(), weight.to(kept).float())
    assert MaskedLinear.stored(layer.spec()) == int((weight.to(kept) != 0).sum())
    x = random(3, 20, seed=2)
    assert torch.equal(empty(x), empty.materialize(torch.float32)(x))
    assert layer.to(torch.bfloat16).values.dtype == kept


def test_zeros_that_rounding_makes_are_not_stored() -> None:
    layer = MaskedLinear.from_weight(torch.tensor([[1e-9, 1.0]]))
    assert len(layer.values) == 1


# The methods


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_magnitude_stores_nine_bits_a_weight_at_half(family: str, tiny_source: Make, tmp_path: Path) -> None:
    source = tiny_source(family, tmp_path / "m")
    Magnitude(pattern="2:4").compress(source, None, tmp_path / "a")
    weighed = artifact.weigh(tmp_path / "a")
    assert weighed.bits_per_weight == 9
    assert (weighed.codes, weighed.side) == (36864 * 2, 36864 * 2 // 8)
    assert weighed.parameters - weighed.parameters_kept == 36864
    expected = source.model()
    with torch.no_grad():
        for name in artifact.read_manifest(tmp_path / "a").layers:
            weight = expected.get_parameter(f"{name}.weight")
            weight.copy_(weight.masked_fill(by_run(weight.abs(), "2:4"), 0).half())
    tokens = calibration().tokens
    for materialize in (True, False):
        model = artifact.load(tmp_path / "a", materialize=materialize)
        assert torch.equal(model(tokens).logits, expected(tokens).logits)


@pytest.mark.parametrize(("bits", "expected"), [(0, 8.5), (4, 0.5 + 4 * 0.5)])
def test_pairs_share_a_bit_and_kept_weights_can_be_rounded(
    bits: int, expected: float, tiny_source: Make, tmp_path: Path
) -> None:
    source = tiny_source("llama", tmp_path / "m")
    for method, text in ((Magnitude, None), (Wanda, calibration())):
        folder = tmp_path / method.__name__
        method(pattern="pairwise 4:8", bits=bits, granularity="group:32").compress(source, text, folder)
        grid = (16 + bits) / 32 if bits else 0
        weighed = artifact.weigh(folder).bits_per_weight
        assert weighed == expected if not bits else expected + grid - 0.2 < weighed <= expected + grid
        weight = artifact.load(folder).get_parameter("model.layers.1.mlp.up_proj.weight")
        assert int((weight.view(-1, 2) != 0).any(1).view(-1, 4).sum(1).max()) == 2


def test_wanda_scores_what_the_pruned_model_makes(tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source("qwen2", tmp_path / "m"), calibration()
    Wanda(sparsity=0.5).compress(source, text, tmp_path / "a")
    pruned, original = artifact.load(tmp_path / "a"), source.model()
    weights = torch.tensor([0.75, 0.25, 0.75, 0.25]) / (2 * 32)
    for index in range(2):
        # The reference: blocks before this one pruned, this one and its inputs as they are in the original.
        reference = artifact.load(tmp_path / "a")
        reference.model.layers[index] = original.model.layers[index]
        seen: dict[str, Tensor] = {}
        names = [n for n in artifact.read_manifest(tmp_path / "a").layers if n.startswith(f"model.layers.{index}.")]
        for name in names:
            reference.get_submodule(name).register_forward_pre_hook(
                lambda module, args, name=name, seen=seen: seen.update({name: args[0].detach()})
            )
        with torch.no_grad():
            reference(text.tokens)
        for name in names:
            norm = (weights[:, None] * seen[name].square().sum(1)).sum(0).sqrt()
            weight = original.get_parameter(f"{name}.weight").detach()
            gone = by_row(weight.abs() * norm, 0.5)
            found = pruned.get_parameter(f"{name}.weight") == 0
            assert float((found == gone).float().mean()) > 0.999  # ties in float32
            assert set(found.sum(1).tolist()) == {weight.shape[1] // 2}


def test_wanda_cut_short_goes_on_to_the_same_artifact(tiny_source: Make, tmp_path: Path) -> None:
    source, method = tiny_source("gemma3_text", tmp_path / "m", layers=3), Wanda(pattern="4:8")
    whole = method.compress(source, calibration(), tmp_path / "whole")

    def killed(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method.compress(source, calibration(), tmp_path / "cut", killed)
    assert method.compress(source, calibration(), tmp_path / "cut").digest == whole.digest
    assert artifact.weigh(tmp_path / "cut").bits_per_weight == 9


def test_wanda_minds_inputs_and_loses_less_than_magnitude(tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source("llama", tmp_path / "m"), calibration()
    loud = source.model()
    with torch.no_grad():
        for layer in loud.model.layers:
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight[::8] *= 20
        loud.save_pretrained(source.folder)
        expected = source.model()(text.tokens).logits
        lost = {}
        for method in (Wanda(), Magnitude()):
            given = text if isinstance(method, Wanda) else None
            folder = method.compress(source, given, tmp_path / type(method).__name__).folder
            lost[type(method)] = float((artifact.load(folder)(text.tokens).logits - expected).square().mean())
    assert lost[Wanda] < 0.7 * lost[Magnitude]


def test_wrong_parameters_and_missing_text_are_sentences(tiny_source: Make, tmp_path: Path) -> None:
    for method in (Magnitude, Wanda):
        with pytest.raises(ValueError, match=r"sparsity=1: allowed are numbers above 0 and below 1\."):
            method(sparsity=1)
        with pytest.raises(
            ValueError, match=r"pattern='3:4': allowed are 'unstructured', '2:4', '4:8', 'pairwise 4:8'\."
        ):
            method(pattern="3:4")
        with pytest.raises(ValueError, match=r"pattern='2:4' drops half of the weights: sparsity=0\.6 has to be 0\.5"):
            method(sparsity=0.6, pattern="2:4")
        with pytest.raises(ValueError, match=r"bits=5: allowed are 0 \(16-bit floats\), 2, 3, 4, 8\."):
            method(bits=5)
        with pytest.raises(ValueError, match=r"granularity='rows': allowed are 'row' and"):
            method(bits=4, granularity="rows")
    with pytest.raises(ValueError, match=r"wanda needs calibration text.*\[calibration\]"):
        Wanda().compress(tiny_source("llama", tmp_path / "m"), None, tmp_path / "a")
