"""SparseGPT: brute-force optimal brain surgery on a small matrix, masks, joint rounding, the artifact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from methods import artifact
from methods._affine import fake
from methods._blocks import FAMILIES
from methods._prune import by_matrix, by_run
from methods._restoration import factorize, restore
from methods.base import Calibration, Source
from methods.gptq import Gptq
from methods.sparsegpt import SPAN, Dropping, SparseGpt

Make = Callable[..., Source]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def correlated(columns: int, seed: int = 1) -> Tensor:
    x = random(400, columns, seed=seed) @ random(columns, columns, seed=seed + 1)
    x *= random(columns, seed=seed + 2).exp()
    return x.T @ x / len(x)


def calibration() -> Calibration:
    tokens = torch.randint(4, 96, (4, 32), generator=torch.Generator().manual_seed(1))
    tokens[:, 0] = 2
    return Calibration(tokens, ("en", "ko", "en", "ko"), {"en": 0.75, "ko": 0.25}, "fingerprint")


def surgery(weight: Tensor, hessian: Tensor, span: int, gone: Callable[[Tensor], Tensor]) -> Tensor:
    """Optimal brain surgeon, a column at a time with inverses taken anew: w_p / [H^-1]_pp times column p of H^-1.

    Every ``span`` columns ``gone`` picks from w^2 / [H^-1]_pp, the inverse being that of the columns from p on.
    """
    w, h = weight.double().clone(), hessian.double()
    columns = w.shape[1]
    inverses = [torch.linalg.inv(h[p:, p:]) for p in range(columns)]
    saliency = torch.stack([inverse[0, 0] for inverse in inverses])
    for p in range(columns):
        if p % span == 0:
            mask = gone(w[:, p : p + span].square() / saliency[p : p + span])
        error = torch.where(mask[:, p % span], w[:, p], 0.0)  # what is not pruned stays
        w[:, p:] -= error[:, None] / saliency[p] * inverses[p][0]
        w[mask[:, p % span], p] = 0
    return w


@pytest.mark.parametrize("pattern", ["unstructured", "2:4", "4:8", "pairwise 4:8"])
def test_it_is_optimal_brain_surgery(pattern: str) -> None:
    weight, factor = random(6, 24), factorize(correlated(24), 0.01)
    if pattern == "unstructured":
        expected = surgery(weight, factor.hessian, 24, lambda scores: by_matrix(scores, 0.5))
    else:
        of = 4 if pattern == "2:4" else 8
        expected = surgery(weight, factor.hessian, of, lambda scores: by_run(scores.sqrt(), pattern))
    method = SparseGpt(pattern=pattern)
    found = restore(weight, factor, Dropping(method, weight, factor)).weight
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-4)
    assert torch.equal(found == 0, expected == 0)
    stored = method.compress_linear(weight, None, factor).layer.dequantize()
    torch.testing.assert_close(stored, found, rtol=1e-3, atol=1e-4)


def test_rows_compete_in_blocks_of_128_columns() -> None:
    weight, factor = random(10, 320), factorize(torch.eye(320), 0.01)  # nothing to make good
    found = SparseGpt(sparsity=0.3).compress_linear(weight, None, factor).layer.dequantize()
    for part, kept in zip(weight.split(SPAN, 1), found.split(SPAN, 1), strict=True):
        assert torch.equal(kept == 0, by_matrix(part.square(), 0.3))


@pytest.mark.parametrize("granularity", ["row", "group:16"])
def test_joint_rounding_is_gptq_where_little_is_dropped_and_the_grid_where_nothing_is_correlated(
    granularity: str,
) -> None:
    weight, group = random(12, 48), None if granularity == "row" else 16
    options = {"bits": 4, "granularity": granularity}
    apart = factorize(torch.eye(48), 0.01)
    found = SparseGpt(**options).compress_linear(weight, None, apart).layer.dequantize()  # type: ignore[arg-type]
    gone = by_matrix(weight.square(), 0.5)
    assert torch.equal(found, fake(weight, 4, group).masked_fill(gone, 0))
    factor = factorize(correlated(48), 0.01)
    little = SparseGpt(1e-9, **options).compress_linear(weight, None, factor).layer.dequantize()  # type: ignore[arg-type]
    dense = Gptq(4, granularity, act_order=False).compress_linear(weight, None, factor).layer.dequantize()
    assert float((little != dense).float().mean()) < 0.5  # one weight goes, and its row differs from there on
    assert int((little != dense).any(1).sum()) <= 1


@pytest.mark.parametrize("bits", [0, 3])
def test_making_good_loses_less_than_dropping_alone_and_tells_it(bits: int) -> None:
    weight, hessian = random(40, 128), correlated(128)
    factor = factorize(hessian, 0.01)
    made = SparseGpt(bits=bits, granularity="group:32").compress_linear(weight, None, factor)
    change = made.layer.dequantize() - weight
    ours = float((change @ factor.hessian * change).sum() / 40)
    assert made.found["loss"] == pytest.approx(ours, rel=1e-2)
    gone = by_matrix(weight.square() * hessian.diagonal(), 0.5)
    plain = (fake(weight, bits, 32) if bits else weight).masked_fill(gone, 0) - weight
    assert ours < 0.9 * float((plain @ factor.hessian * plain).sum() / 40)
    assert made.found["sparsity"] >= 0.5


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_reloaded_model_has_the_stored_numbers(family: str, tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source(family, tmp_path / "m", layers=1), calibration()
    SparseGpt(pattern="2:4", bits=4, symmetric=True, granularity="group:32").compress(source, text, tmp_path / "a")
    layers = artifact.read_manifest(tmp_path / "a").layers
    assert {spec["kind"] for spec in layers.values()} == {"masked_affine"}
    kept = sum(spec["kept"] for spec in layers.values())
    weighed = artifact.weigh(tmp_path / "a")
    assert weighed.bits_per_weight == pytest.approx(1 + 4 * kept / 36864 + 16 / 32, abs=2e-3)
    assert 0.35 * 36864 < kept <= 0.5 * 36864
    models = [artifact.load(tmp_path / "a", materialize=materialize) for materialize in (True, False)]
    assert torch.equal(*(model(text.tokens).logits for model in models))


def test_a_run_cut_short_gives_the_same_artifact(tiny_source: Make, tmp_path: Path) -> None:
    source, method = tiny_source("llama", tmp_path / "m"), SparseGpt(pattern="pairwise 4:8")
    whole = method.compress(source, calibration(), tmp_path / "whole")

    def killed(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method.compress(source, calibration(), tmp_path / "cut", killed)
    assert method.compress(source, calibration(), tmp_path / "cut").digest == whole.digest
    assert artifact.weigh(tmp_path / "cut").bits_per_weight == 8.5


def test_runs_that_do_not_divide_leave_a_linear_as_it_is() -> None:
    from methods._prune import Stored

    assert Stored("4:8", 0, "row").misfit(68) == "runs of 8 do not divide its 68 input channels"
    assert Stored("pairwise 4:8", 0, "row").misfit(68) == "runs of 8 do not divide its 68 input channels"
    assert Stored("2:4", 4, "group:32").misfit(68) == "groups of 32 do not divide its 68 input channels"
    assert Stored("2:4", 0, "group:32").misfit(68) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pattern": "3:4"}, "pattern='3:4': allowed are 'unstructured', '2:4', '4:8', 'pairwise 4:8'."),
        ({"pattern": "2:4", "sparsity": 0.6}, "pattern='2:4' drops half of the weights: sparsity=0.6 has to be 0.5."),
        ({"bits": 1}, "bits=1: allowed are 0 (16-bit floats), 2, 3, 4, 8."),
        ({"symmetric": 1}, "symmetric=1: allowed are true and false."),
        ({"damp": 2}, "damp=2: allowed are numbers above 0 and up to 1."),
    ],
)
def test_wrong_parameters_are_sentences(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=r"allowed|has to") as problem:
        SparseGpt(**options)  # type: ignore[arg-type]
    assert str(problem.value) == words


def test_sparsegpt_without_calibration_text_says_so(tiny_source: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sparsegpt needs calibration text.*\[calibration\]"):
        SparseGpt().compress(tiny_source("llama", tmp_path / "m"), None, tmp_path / "a")
