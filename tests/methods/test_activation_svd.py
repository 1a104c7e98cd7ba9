"""Activation-aware SVD: less loss than plain SVD on what the model reads, whole and after a stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from methods import _factorise, _walk, artifact
from methods._blocks import FAMILIES
from methods._factored import FactoredLinear
from methods._moments import gather
from methods.activation_svd import ActivationSvd
from methods.base import Calibration, Source
from methods.svd import Svd

Make = Callable[..., Source]


def calibration(cache: Path | None = None, sequences: int = 8, length: int = 48) -> Calibration:
    """Text of few characters, so that inputs are correlated."""
    tokens = torch.randint(4, 20, (sequences, length), generator=torch.Generator().manual_seed(1))
    tokens[:, 0] = 2
    languages = tuple("en" if index % 2 else "ko" for index in range(sequences))
    return Calibration(tokens, languages, {"en": 0.5, "ko": 0.5}, "fingerprint", cache=cache)


def error(source: Source, folder: Path, tokens: torch.Tensor | None = None) -> float:
    """Mean squared change of the logits, on other text of the same kind unless ``tokens`` are given."""
    if tokens is None:
        tokens = torch.randint(4, 20, (4, 48), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return float((artifact.load(folder)(tokens).logits - source.model()(tokens).logits).square().mean())


def losses(folder: Path) -> dict[str, float]:
    return {
        name: found["loss"] for name, found in json.loads((folder / _factorise.RANKS).read_text())["linears"].items()
    }


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_it_loses_less_than_plain_svd_at_equal_bytes(family: str, tiny_source: Make, tmp_path: Path) -> None:
    source = tiny_source(family, tmp_path / "m")
    ActivationSvd(keep=0.5, rank_multiple=1).compress(source, calibration(), tmp_path / "a")
    Svd(keep=0.5, rank_multiple=1).compress(source, None, tmp_path / "s")
    assert artifact.weigh(tmp_path / "a").total == artifact.weigh(tmp_path / "s").total
    assert error(source, tmp_path / "a") < 0.8 * error(source, tmp_path / "s")
    tokens = calibration().tokens
    models = [artifact.load(tmp_path / "a", materialize=materialize) for materialize in (True, False)]
    assert torch.equal(models[0](tokens).logits, models[1](tokens).logits)


def test_the_loss_it_records_is_the_discarded_share_of_the_outputs_energy(tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source("qwen2", tmp_path / "m"), calibration()
    ActivationSvd(keep=0.5, rank_multiple=1, damping=0, sink=0).compress(source, text, tmp_path / "a")
    model, seen = source.model(), {}
    names = [f"model.layers.1.{name}" for name in ("self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")]
    for name in names:
        model.get_submodule(name).register_forward_pre_hook(
            lambda module, args, name=name: seen.update({name: args[0].detach().flatten(0, 1).double()})
        )
    with torch.no_grad():
        model(text.tokens)
    for name in names:
        outputs = seen[name] @ model.get_submodule(name).weight.double().T
        values = torch.linalg.svdvals(outputs).square()
        rank = artifact.read_manifest(tmp_path / "a").layers[name]["second"]["in_features"]
        expected = float(values[rank:].sum() / values.sum())
        assert losses(tmp_path / "a")[name] == pytest.approx(expected, rel=0.02)  # float16 factors


def test_centring_keeps_mean_outputs_and_costs_a_bias(tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source("llama", tmp_path / "m"), calibration()
    ActivationSvd(keep=0.5, rank_multiple=1, centred=True, scope="attention", sink=0).compress(
        source, text, tmp_path / "c"
    )
    weighed = artifact.weigh(tmp_path / "c")
    assert weighed.side == 2 * 2 * (64 + 32 + 32 + 64)  # 16 bits an output channel, two blocks
    layers = artifact.read_manifest(tmp_path / "c").layers
    kept = sum(FactoredLinear.stored(spec) for spec in layers.values())
    assert weighed.parameters_kept == weighed.parameters - weighed.quantized_weights + kept
    means = []
    for model in (source.model(), artifact.load(tmp_path / "c")):
        query = model.model.layers[0].self_attn.q_proj  # reads the same in both
        query.register_forward_hook(lambda module, args, output: means.append(output.flatten(0, 1).mean(0)))
        model(text.tokens)
    torch.testing.assert_close(means[0], means[1], rtol=1e-3, atol=2e-3)
    with pytest.raises(ValueError, match=r"8 linears, model\.layers\.0\.self_attn\.q_proj first, gained a bias"):
        artifact.export(tmp_path / "c", tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


def test_a_spare_share_gives_up_a_little_on_the_calibration_text(tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source("llama", tmp_path / "m"), calibration()
    for spare in (0.0, 0.3):
        ActivationSvd(keep=0.5, rank_multiple=1, spare=spare).compress(source, text, tmp_path / str(spare))
    pure, split = losses(tmp_path / "0.0"), losses(tmp_path / "0.3")
    assert all(pure[name] < split[name] for name in pure)
    weights = source.model().state_dict()
    far = {}
    for spare in ("0.0", "0.3"):
        low = artifact.load(tmp_path / spare, materialize=False)
        far[spare] = sum(
            float((low.get_submodule(name).dequantize() - weights[f"{name}.weight"]).square().sum()) for name in pure
        )
    assert far["0.3"] < far["0.0"]


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_anchored_linears_make_good_what_came_before(family: str, tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source(family, tmp_path / "m"), calibration(sequences=16)
    for anchored in (False, True):
        method = ActivationSvd(keep=0.5, rank_multiple=1, anchored=anchored, stack=True, damping=1e-4)
        method.compress(source, text, tmp_path / str(anchored))
    assert error(source, tmp_path / "True", text.tokens) < error(source, tmp_path / "False", text.tokens)


def test_an_anchored_run_cut_short_goes_on_to_the_same_artifact(tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source("qwen2", tmp_path / "m", layers=3), calibration(tmp_path / "cache")
    method = ActivationSvd(keep=0.6, rank_multiple=4, anchored=True, stack=True, bits=8, granularity="row")
    whole = method.compress(source, text, tmp_path / "whole")

    def killed(what: str, done: int, total: int) -> None:
        if what == "factorising blocks" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method.compress(source, text, tmp_path / "cut", killed)
    stamps = [path.stat().st_mtime_ns for path in sorted((tmp_path / "cut").glob("block-*"))]
    assert len(stamps) == 2
    assert method.compress(source, text, tmp_path / "cut").digest == whole.digest
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "cut").glob("block-*"))[:2]] == stamps


def test_ranks_by_loss_use_the_known_losses(tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source("mistral", tmp_path / "m"), calibration(tmp_path / "cache")
    lost = {}
    for allocation in ("uniform", "loss"):
        method = ActivationSvd(keep=0.5, rank_multiple=2, allocation=allocation)
        method.compress(source, text, tmp_path / allocation)
        lost[allocation] = sum(losses(tmp_path / allocation).values())
        assert json.loads((tmp_path / allocation / _factorise.RANKS).read_text())["keep_of_selected_linears"] <= 0.5
    assert lost["loss"] < lost["uniform"]


def test_language_weights_move_the_metric(tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source("llama", tmp_path / "m"), calibration()
    tokens = text.tokens.clone()
    tokens[0::2] += 40  # ko reads other characters than en
    found = {}
    for language, weights in {"en": {"en": 0.98, "ko": 0.02}, "ko": {"en": 0.02, "ko": 0.98}}.items():
        mixed = replace(text, tokens=tokens, weights=weights, fingerprint=language)
        ActivationSvd(keep=0.4, rank_multiple=1, scope="attention").compress(source, mixed, tmp_path / language)
        model, original = artifact.load(tmp_path / language), source.model()
        error = (model(tokens).logits - original(tokens).logits).square().mean((1, 2))
        found[language] = float(error[1::2].mean() / error[0::2].mean())  # en over ko
    assert found["en"] < 0.7 * found["ko"]


@pytest.mark.parametrize("option", [{}, {"centred": True}, {"anchored": True, "damping": 1e-4}])
def test_a_sink_spares_the_token_that_attention_leans_on(
    option: dict[str, Any], tiny_source: Make, tmp_path: Path
) -> None:
    source, text = tiny_source("gemma3_text", tmp_path / "m"), calibration()
    made = {}
    for sink in (0.0, 1.0):
        method = ActivationSvd(keep=0.4, rank_multiple=1, scope="attention", sink=sink, **option)
        method.compress(source, text, tmp_path / str(sink))
        made[sink] = artifact.load(tmp_path / str(sink)).get_submodule("model.layers.0.self_attn.k_proj")
    model, seen = source.model(), []
    linear = model.get_submodule("model.layers.0.self_attn.k_proj")

    def see(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        seen.append(args[0])

    handle = linear.register_forward_pre_hook(see)
    with torch.no_grad():
        model(text.tokens)
        handle.remove()
        change = {sink: (layer(seen[0]) - linear(seen[0])).square().mean((0, 2)) for sink, layer in made.items()}
    assert float(change[1.0][0]) < 0.25 * float(change[0.0][0])
    assert float(change[1.0][1:].mean()) > float(change[0.0][1:].mean())  # at the cost of all others


def test_fewer_tokens_than_channels_are_enough(tiny_source: Make, tmp_path: Path) -> None:
    source, text = tiny_source("llama", tmp_path / "m"), calibration(sequences=2, length=12)
    gram = gather(source, text, {"gram64"}).second_moment(0, "down")
    assert int(torch.linalg.matrix_rank(gram)) < 25 < len(gram)
    for damping in (0.0, 1e-6):
        ActivationSvd(keep=0.8, rank_multiple=1, damping=damping).compress(source, text, tmp_path / str(damping))
        assert torch.isfinite(artifact.load(tmp_path / str(damping))(text.tokens).logits).all()
        found = losses(tmp_path / str(damping))  # k and v have rank 17, below what the inputs span
        assert max(loss for name, loss in found.items() if name[-6:] not in ("k_proj", "v_proj")) < 1e-5


def test_activations_that_are_not_finite_are_refused_by_name(tiny_source: Make, tmp_path: Path) -> None:
    source = tiny_source("llama", tmp_path / "m")
    path = source.folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.1.mlp.down_proj.weight"] *= 1e38
    save_file(tensors, path, {"format": "pt"})
    for anchored in (False, True):
        with pytest.raises(ValueError, match=r"model\.layers\.1 gives \d+ of \d+ values that are not finite"):
            ActivationSvd(rank_multiple=1, anchored=anchored).compress(source, calibration(), tmp_path / "a")


def test_anchored_without_damping_on_little_text_asks_for_it(tiny_source: Make, tmp_path: Path) -> None:
    method = ActivationSvd(rank_multiple=1, anchored=True, damping=0)
    source, text = tiny_source("llama", tmp_path / "m"), calibration(sequences=2, length=12)
    with pytest.raises(ValueError, match=r"not positive definite; raise damping"):
        method.compress(source, text, tmp_path / "a")


def test_a_second_budget_gathers_nothing(tiny_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, text, calls = tiny_source("llama", tmp_path / "m"), calibration(tmp_path / "cache"), []
    call = _walk.Block.call
    monkeypatch.setattr(_walk.Block, "call", lambda block, hidden: calls.append(1) or call(block, hidden))
    for keep in (0.5, 0.7):
        ActivationSvd(keep=keep, rank_multiple=1).compress(source, text, tmp_path / str(keep))
    assert len(calls) == 2


def test_wrong_parameters_and_missing_text_are_sentences(tiny_source: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="centred=1: allowed are true and false"):
        ActivationSvd(centred=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="centred=true and anchored=true do not go together"):
        ActivationSvd(centred=True, anchored=True)
    with pytest.raises(ValueError, match="sink=-1: allowed are numbers from 0"):
        ActivationSvd(sink=-1)
    with pytest.raises(ValueError, match="damping=-1: allowed are numbers from 0"):
        ActivationSvd(damping=-1)
    with pytest.raises(ValueError, match=r"activation_svd needs calibration text.*\[calibration\]"):
        ActivationSvd().compress(tiny_source("llama", tmp_path / "m"), None, tmp_path / "a")
