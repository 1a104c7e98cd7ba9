"""OBR: the closed form against least squares, the order of methods on a toy layer, storage, resuming, mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from methods import _obr, _sequential, artifact
from methods._blocks import FAMILIES
from methods._obr import Grid, answer, by_cholesky, by_gradients, restored, rounded
from methods._prune import by_row
from methods._restoration import factorize
from methods._rotation import rotation
from methods.base import Calibration, Source, UnsupportedModel
from methods.obr import Obr
from methods.sparsegpt import SparseGpt

Make = Callable[..., Source]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def correlated(columns: int, seed: int = 1) -> Tensor:
    """The mean of x x' over inputs whose channels share what they say, some of them far larger than others."""
    x = random(4 * columns, columns, seed=seed)
    near = (torch.arange(columns)[:, None] - torch.arange(columns)).abs()
    x = x @ (random(columns, columns, seed=seed + 1) * (-near / 40).exp()) * random(columns, seed=seed + 2).exp()
    return x.T @ x / len(x)


def calibration() -> Calibration:
    tokens = torch.randint(4, 96, (4, 32), generator=torch.Generator().manual_seed(1))
    tokens[:, 0] = 2
    return Calibration(tokens, ("en", "ko", "en", "ko"), {"en": 0.75, "ko": 0.25}, "fingerprint")


def loss(change: Tensor, hessian: Tensor) -> Tensor:
    """Of each row."""
    return (change.double() @ hessian.double() * change.double()).sum(1)


# The closed form


def test_restoration_is_least_squares_and_has_its_sign() -> None:
    """Row by row: the kept weights that give W x best from the kept inputs."""
    x = random(200, 24, seed=3) @ random(24, 24, seed=4)
    hessian, weight = x.T @ x / 200, random(5, 24)
    kept = random(5, 24, seed=5) > -0.3
    found = restored(weight, hessian, kept, "cholesky")
    for row, here, mask in zip(found, weight, kept, strict=True):
        fitted = torch.linalg.lstsq(x[:, mask].double(), x.double() @ here.double()).solution
        torch.testing.assert_close(row[mask].double(), fitted, rtol=1e-3, atol=1e-4)
        assert not row[~mask].any()
    plain = weight * kept
    wrong = plain - (found - plain)  # the printed algorithm's sign
    best, none, worst = (loss(w - weight, hessian) for w in (found, plain, wrong))
    assert bool((best < none).all())
    assert bool((none < worst).all())


@pytest.mark.parametrize("sparsity", [0.2, 0.5, 0.9])
def test_both_solvers_agree_on_rows_of_any_count(sparsity: float, monkeypatch: pytest.MonkeyPatch) -> None:
    hessian = factorize(correlated(96), 0.01).hessian
    free = torch.rand(40, 96, generator=torch.Generator().manual_seed(0)) > sparsity
    free[7] = False
    target = random(40, 96) * free
    exact = by_cholesky(hessian, target, free)
    torch.testing.assert_close((exact @ hessian) * free, target, rtol=1e-3, atol=1e-3)
    assert not exact[~free].any()
    monkeypatch.setattr(_obr, "BATCH_BYTES", 4 * 40 * 40 * 3)  # batches of a few rows
    torch.testing.assert_close(by_cholesky(hessian, target, free), exact, rtol=1e-3, atol=1e-4)
    monkeypatch.setattr(_obr, "BATCH_ROWS", 16)
    found = by_gradients(hessian, target, free)
    assert float((found - exact).norm() / exact.norm()) < 5e-3
    monkeypatch.setattr(_obr, "STEPS", 2)  # not enough: the exact solver finishes
    torch.testing.assert_close(by_gradients(hessian, target, free), exact, rtol=1e-3, atol=1e-4)


def test_the_solver_is_chosen_by_size() -> None:
    small = torch.ones(2, _obr.LARGE, dtype=torch.bool)
    large = torch.ones(2, _obr.LARGE + 1, dtype=torch.bool)
    assert (_obr.chosen(small), _obr.chosen(large)) == ("cholesky", "gradients")


def test_errors_of_the_first_columns_are_made_good_by_the_others() -> None:
    hessian = factorize(correlated(32), 0.01).hessian
    change, later = random(6, 32), torch.zeros(6, 32, dtype=torch.bool)
    change[:, 16:], later[:, 16:] = 0, True
    moved = answer(hessian, change, later)
    assert not moved[:, :16].any()
    best = loss(change + moved, hessian)
    for seed in range(5):  # a minimum: whatever is done to it loses more
        assert bool((loss(change + moved + 0.05 * random(6, 32, seed=seed) * later, hessian) > best).all())


@pytest.mark.parametrize("granularity", [None, 16])
@pytest.mark.parametrize("alpha", [0, 0.25, 0.5, 0.75, 1])
@pytest.mark.parametrize("gptq", [False, True])
def test_any_alpha_gives_weights_on_the_grid_under_the_mask(granularity: int | None, alpha: float, gptq: bool) -> None:
    weight, factor = random(12, 48), factorize(correlated(48), 0.01)
    kept = ~by_row(weight.abs(), 0.5)
    grid = Grid.fitted(weight, 4, granularity)
    found = rounded(restored(weight, factor.hessian, kept), factor, kept, grid, alpha, gptq)
    assert not found[~kept].any()
    torch.testing.assert_close(grid.round(found), found)
    split = int(alpha * 48)
    assert torch.equal(found[:, :split], grid.round(restored(weight, factor.hessian, kept))[:, :split])


def test_order_of_methods_on_a_rotated_layer(capsys: pytest.CaptureFixture[str]) -> None:
    """W4 and half of the weights gone: the published order, and what each step is worth."""
    columns = 256
    weight, turn = torch.distributions.StudentT(4.0), rotation(columns)
    torch.manual_seed(0)
    w, h = turn.apply(weight.sample((48, columns)) / columns**0.5), turn.turn(correlated(columns))
    factor = factorize(h, 0.01)
    hessian = factor.hessian
    kept = ~by_row(w.abs() * hessian.diagonal().sqrt(), 0.5)
    grid, whole = Grid.fitted(w, 4, None), restored(w, hessian, kept)
    joint = SparseGpt(bits=4, symmetric=True, search=True).compress_linear(w, None, factor).layer.dequantize()
    found = {
        "restored, not rounded": whole,
        "OBR, GPTQ": rounded(whole, factor, kept, grid, 0.5, True),
        "restored + GPTQ (alpha 0)": rounded(whole, factor, kept, grid, 0, True),
        "OBR, RTN": rounded(whole, factor, kept, grid, 0.5, False),
        "restored + RTN": grid.round(whole),
        "SparseGPT + GPTQ": joint,
        "Wanda": w * kept,
        "Wanda + RTN": grid.round(w * kept),
    }
    lost = {name: float(loss(q - w, h).sum() / loss(w, h).sum()) for name, q in found.items()}
    with capsys.disabled():
        print("", *(f"{name:26s} {value:.4f}" for name, value in lost.items()), sep="\n")
    assert lost["restored, not rounded"] < lost["OBR, GPTQ"] < lost["OBR, RTN"] < lost["restored + RTN"]
    assert lost["OBR, RTN"] < lost["SparseGPT + GPTQ"] < lost["Wanda"] < lost["Wanda + RTN"]
    assert lost["OBR, GPTQ"] < lost["restored + GPTQ (alpha 0)"]


# The artifact


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_reloaded_model_reads_what_was_computed(family: str, tiny_source: Make, tmp_path: Path) -> None:
    """Blocks ran on ``dequantize``; the loaded model rotates its inputs: the same numbers up to rounding."""
    source, text = tiny_source(family, tmp_path / "m", tied=True), calibration()
    made = Obr(granularity="group:32").compress(source, text, tmp_path / "a")
    manifest = artifact.read_manifest(tmp_path / "a")
    assert {spec["kind"] for spec in manifest.layers.values()} == {"rotated"}
    assert len(manifest.layers) == 14
    assert "rotation" not in made.notes
    kept = sum(spec["linear"]["kept"] for spec in manifest.layers.values())
    weighed = artifact.weigh(tmp_path / "a")
    assert weighed.bits_per_weight == pytest.approx(1 + 4 * kept / 73728 + 16 / 32, abs=1e-3)
    assert weighed.parameters - weighed.parameters_kept == 73728 - kept
    assert 0.5 <= 1 - kept / 73728 < 0.6
    run, packed = (artifact.load(tmp_path / "a", materialize=materialize) for materialize in (True, False))
    plain = source.model()
    for name in manifest.layers:
        plain.get_parameter(f"{name}.weight").data = packed.get_submodule(name).dequantize()
    expected = plain(text.tokens).logits
    for model in (run, packed):
        torch.testing.assert_close(model(text.tokens).logits, expected, rtol=1e-4, atol=1e-4)
    artifact.export(tmp_path / "a", tmp_path / "plain")
    exported = Source(tmp_path / "plain", "digest").model()
    torch.testing.assert_close(exported(text.tokens).logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rotation", ["none", "stream", "input"])
def test_it_beats_pruning_and_rounding_one_after_the_other(rotation: str, tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source("qwen2", tmp_path / "m"), calibration()
    Obr(rotation=rotation).compress(source, text, tmp_path / "a")
    SparseGpt(bits=4, symmetric=True).compress(source, text, tmp_path / "s")
    kinds = {spec["kind"] for spec in artifact.read_manifest(tmp_path / "a").layers.values()}
    assert kinds == {"rotated" if rotation == "input" else "masked_affine"}
    with torch.no_grad():
        original = source.model()(text.tokens).logits
        ours, theirs = (
            float((artifact.load(tmp_path / name)(text.tokens).logits - original).square().mean()) for name in "as"
        )
    assert ours < theirs


@pytest.mark.parametrize(
    ("pattern", "bits", "expected"),
    [("2:4", 0, 9), ("pairwise 4:8", 0, 8.5), ("unstructured", 0, 9), ("pairwise 4:8", 8, 4.5 + 16 / 73728 * 1024)],
)
def test_sizes_are_those_of_the_formula(
    pattern: str, bits: int, expected: float, tiny_source: Make, tmp_path: Path
) -> None:
    source = tiny_source("llama", tmp_path / "m")
    Obr(pattern=pattern, bits=bits, rotation="none").compress(source, calibration(), tmp_path / "a")
    weighed = artifact.weigh(tmp_path / "a").bits_per_weight
    assert weighed == expected if bits == 0 else weighed == pytest.approx(expected, rel=0.05)
    weight = artifact.load(tmp_path / "a").get_parameter("model.layers.1.mlp.down_proj.weight")
    if pattern != "unstructured":
        of = 4 if pattern == "2:4" else 8
        assert int((weight.view(-1, of) != 0).sum(1).max()) == of // 2
    if pattern == "pairwise 4:8":
        assert int((weight.view(-1, 2) != 0).any(1).view(-1, 4).sum(1).max()) == 2


def test_few_bits_of_activations_and_cache_are_simulated_and_said(tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source("gemma3_text", tmp_path / "m"), calibration()
    made = Obr(bits=0, activation_bits=4, kv_bits=4).compress(source, text, tmp_path / "a")
    assert made.notes["activations"].startswith("simulated: compressed linears read 4-bit inputs")
    assert made.notes["kv_cache"].startswith("simulated: keys (before rotary embedding) and values in 4 bits")
    assert "of a linear's weights are zero as stored" in made.notes["sparsity"]
    Obr(bits=0).compress(source, text, tmp_path / "b")
    assert artifact.weigh(tmp_path / "a").total == artifact.weigh(tmp_path / "b").total
    few, whole = artifact.load(tmp_path / "a"), artifact.load(tmp_path / "b")
    assert not torch.allclose(few(text.tokens).logits, whole(text.tokens).logits, atol=1e-2)
    x = random(3, 5, 64)
    layers = [model.get_submodule("model.layers.0.self_attn.k_proj") for model in (few, whole)]
    assert torch.equal(layers[0].linear.weight, layers[1].linear.weight)
    steps = layers[0](x) / (layers[0](x).abs().amax(-1, keepdim=True) / 7)
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
    packed = artifact.load(tmp_path / "a", materialize=False)
    torch.testing.assert_close(packed(text.tokens).logits, few(text.tokens).logits)


def test_a_run_cut_short_gives_the_same_artifact(tiny_source: Make, tmp_path: Path) -> None:
    for turned in ("input", "stream"):
        source = tiny_source("llama", tmp_path / turned)
        method = Obr(rotation=turned, finish="rtn", granularity="group:32")
        whole = method.compress(source, calibration(), tmp_path / f"{turned}-whole")

        def killed(what: str, done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            method.compress(source, calibration(), tmp_path / f"{turned}-cut", killed)
        assert method.compress(source, calibration(), tmp_path / f"{turned}-cut").digest == whole.digest


def test_a_size_without_construction_is_named_in_the_notes(
    tiny_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("methods._rotation.factors", lambda order: None if order == 128 else (order,))
    source = tiny_source("llama", tmp_path / "m")
    monkeypatch.setattr("methods._rotation.LARGEST_BLOCK", 32)
    made = Obr(bits=0).compress(source, calibration(), tmp_path / "a")
    assert made.notes["rotation"] == (
        "no Hadamard matrix of order 128 is generated here; blocks of 32 channels are rotated instead"
    )
    assert artifact.read_manifest(tmp_path / "a").layers["model.layers.0.mlp.down_proj"]["rotation"]["block"] == 32


# Mistakes


@pytest.mark.parametrize("family", ["gemma2", "gemma3_text"])
def test_a_stream_that_cannot_be_rotated_is_refused(family: str, tiny_source: Make, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=rf"'stream' is not exact for {family}.*rotation='input' is exact"):
        Obr(rotation="stream").compress(tiny_source(family, tmp_path / "m"), calibration(), tmp_path / "a")


def test_a_tied_head_cannot_take_the_last_norm(tiny_source: Make, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"head is its embedding.*rotation='input'"):
        Obr(rotation="stream").compress(tiny_source("llama", tmp_path / "m", tied=True), calibration(), tmp_path / "a")


def test_moments_without_a_factor_name_their_layer(
    tiny_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = _sequential.block_moments

    def spoiled(*args: object, **options: object) -> dict[str, dict[str, Tensor]]:
        found = moments(*args, **options)  # type: ignore[arg-type]
        return {"gram:row": {name: gram - 4 * gram.diagonal(dim1=1, dim2=2).mean() * torch.eye(gram.shape[1])
                             for name, gram in found["gram:row"].items()}}  # fmt: skip

    monkeypatch.setattr(_sequential, "block_moments", spoiled)
    for method in (Obr(), SparseGpt()):
        with pytest.raises(
            ValueError, match=r"layers\.0, self_attn\.q_proj and .*: .*not positive definite, even with"
        ):
            method.compress(tiny_source("llama", tmp_path / "m"), calibration(), tmp_path / type(method).__name__)


def test_activations_that_are_not_finite_name_their_place(tiny_source: Make, tmp_path: Path) -> None:
    source = tiny_source("llama", tmp_path / "m")
    model = source.model()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.fill_(3e38)
    model.save_pretrained(source.folder)
    with pytest.raises(
        ValueError, match=r"model\.layers\.0, before mlp\.down_proj, gives \d+ of \d+ values.*not finite"
    ):
        Obr().compress(source, calibration(), tmp_path / "a")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("pattern", "1:3", "pattern='1:3': allowed are 'unstructured', '2:4', '4:8', 'pairwise 4:8'."),
        ("bits", 5, "bits=5: allowed are 0 (16-bit floats), 2, 3, 4, 8."),
        ("rotation", "head", "rotation='head': allowed are 'input', 'stream', 'none'."),
        ("score", "size", "score='size': allowed are 'wanda', 'magnitude'."),
        ("finish", "gtpq", "finish='gtpq': allowed are 'gptq', 'rtn'."),
        ("alpha", 1.5, "alpha=1.5: allowed are numbers from 0 to 1."),
        ("alpha", True, "alpha=True: allowed are numbers from 0 to 1."),
        ("activation_bits", 3, "activation_bits=3: allowed are 0 (as they are), 4 and 8."),
        ("kv_bits", "4", "kv_bits='4': allowed are 0 (as they are), 4 and 8."),
        ("seed", 0.5, "seed=0.5: allowed are whole numbers."),
        ("damp", 0, "damp=0: allowed are numbers above 0 and up to 1."),
    ],
)
def test_wrong_parameters_are_sentences(field: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=field) as problem:
        Obr(**{field: value})  # type: ignore[arg-type]
    assert str(problem.value) == words


def test_obr_without_calibration_text_says_so(tiny_source: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"obr needs calibration text.*\[calibration\]"):
        Obr().compress(tiny_source("llama", tmp_path / "m"), None, tmp_path / "a")
