"""AWQ: exact folds, exact losses, and an artifact that depends on nothing but what it is made from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from methods import _awq, _awq_block, _awq_search, _moments, _walk, artifact
from methods._affine import fake, fake_pieces
from methods._awq import search_sequences
from methods._awq_block import Recipe, apply_scales, fold_into_norm, open_block, pack_block, search_block
from methods._blocks import FAMILIES, family
from methods._moments import gather
from methods._shards import Shards
from methods._walk import walk
from methods.awq import Awq
from methods.base import Calibration, Source
from methods.rtn import Rtn

Make = Callable[..., Source]
SMALL = {"granularity": "group:32", "grid": 5, "clip_grid": 3}


def calibration(cache: Path | None = None, sequences: int = 4, length: int = 32) -> Calibration:
    tokens = torch.randint(4, 96, (sequences, length), generator=torch.Generator().manual_seed(1))
    tokens[:, 0] = 2
    languages = tuple("en" if index % 2 else "ko" for index in range(sequences))
    return Calibration(tokens, languages, {"en": 0.5, "ko": 0.5}, "fingerprint", cache=cache)


def recipe(**changes: object) -> Recipe:
    return replace(Recipe(4, 32, False, 5, 3, False), **changes)  # type: ignore[arg-type]


def stored_of(source: Source, block: _walk.Block) -> dict[str, Tensor]:
    shards = Shards(source.folder)
    return {name: shards[f"{block.prefix}.{name}"].clone() for name in block.module.state_dict()}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Folds


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_scaling_without_rounding_leaves_the_logits(
    name: str, grouped: bool, tmp_path: Path, tiny_source: Make
) -> None:
    source = tiny_source(name, tmp_path, grouped=grouped)
    kind, model, text = family(source.config), source.model(), calibration()
    with torch.no_grad():
        before = model(text.tokens).logits
        for block in walk(source):
            shrunk = open_block(stored_of(source, block), kind, recipe())
            widths = {group.name: shrunk.weights[group.reads].shape[1] for group in kind.groups}
            scales = {group: (1.5 * random(width, seed=width)).exp() for group, width in widths.items()}
            if grouped:
                del scales["o"]  # heads share values: no exact fold
            apply_scales(kind, shrunk, scales)
            state = shrunk.tensors | {f"{key}.weight": weight for key, weight in shrunk.weights.items()}
            target = model.model.layers[block.index]
            assert any(not torch.equal(tensor, target.state_dict()[key]) for key, tensor in state.items())
            target.load_state_dict(state)
        difference = float((model(text.tokens).logits - before).abs().max())
    assert difference < 1e-4


def test_a_bfloat16_gain_is_rounded_and_the_scale_makes_it_good() -> None:
    gain, scale = random(256).bfloat16(), (2 * random(256, seed=1)).exp()
    folded, exact = fold_into_norm(gain, scale, adds_one=False)
    assert folded.dtype == torch.bfloat16
    torch.testing.assert_close(folded.float() * exact, gain.float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(exact, scale, rtol=2**-7, atol=0)


def test_a_gain_of_one_plus_weight_stays_float32_near_minus_one() -> None:
    weight, scale = torch.tensor([-0.95, -1.05, 3.0]).bfloat16(), torch.tensor([0.3, 7.0, 2.0])
    folded, exact = fold_into_norm(weight, scale, adds_one=True)
    assert folded.dtype == torch.float32
    torch.testing.assert_close((1 + folded) * exact, 1 + weight.float(), rtol=1e-5, atol=0)


def test_shared_heads_are_recorded_as_unscaled(tmp_path: Path, tiny_source: Make) -> None:
    source = tiny_source("qwen2", tmp_path / "m")
    Awq(**SMALL).compress(source, calibration(), tmp_path / "a")
    found = json.loads((tmp_path / "a" / _awq.SEARCH).read_text())["model.layers.1"]
    assert found["o"] == {"unscaled": "self_attn.v_proj makes 32 channels and it reads 64: heads share keys and values"}
    assert found["down"]["loss"] <= found["down"]["plain_loss"]


# Losses and searches


def test_the_gram_loss_is_the_direct_loss() -> None:
    weight, x = random(48, 32), random(3, 40, 32, seed=1)
    loss = _awq_search.gram_loss(weight, x.flatten(0, 1).T @ x.flatten(0, 1) / 120)
    expected = float((x @ (fake(weight, 3, 32) - weight).T).square().mean())
    assert loss(fake_pieces(weight, 3, 32)) == pytest.approx(expected, rel=1e-5)
    assert _awq_search.direct_loss(weight, [x])(fake_pieces(weight, 3, 32)) == pytest.approx(expected, rel=1e-5)
    for tokens in (8, 120):  # fewer and more tokens than channels take different forms
        part = [x.flatten(0, 1)[:tokens]]
        expected = float((part[0] @ (fake(weight, 3, 32) - weight).T).square().mean())
        assert _awq_search.linear_loss(weight, part)(fake_pieces(weight, 3, 32)) == pytest.approx(expected, rel=1e-5)


def test_the_clip_by_gram_is_the_clip_by_tokens() -> None:
    weight, x = random(6, 64), random(200, 64, seed=1)
    weight[:, ::9] *= 4
    parts = x.view(200, 2, 32)
    gram = torch.einsum("tgi,tgj->gij", parts, parts) / 200
    limit = _awq_search.search_clip(weight, gram, partial(fake_pieces, bits=3, group=32), 10)
    largest = weight.view(6, 2, 32).abs().amax(-1)
    clipped = 0
    for row in range(6):
        for group in range(2):
            own, seen = weight[row : row + 1, 32 * group : 32 * group + 32], parts[:, group]
            losses = {}
            for index in range(10):
                bound = float(largest[row, group] * (1 - 0.05 * index))
                change = fake(own.clamp(-bound, bound), 3, 32) - own
                losses[bound] = float((seen @ change.T).square().mean())
            chosen = min(losses, key=losses.__getitem__)
            assert losses[chosen] == pytest.approx(
                losses[min(losses, key=lambda bound: abs(bound - float(limit[row, group])))], rel=1e-4
            )
            clipped += chosen < 0.99 * float(largest[row, group])
    assert clipped > 2


def test_scales_are_powers_of_the_mean_size() -> None:
    a = torch.tensor([0.0, 0.25, 4.0])
    pairs = _awq_search.candidates(a, 20)
    assert [round(ratio, 2) for ratio, _ in pairs] == [round(0.05 * step, 2) for step in range(20)]
    assert torch.equal(pairs[0][1], torch.ones(3))
    raw = torch.tensor([1e-4, 0.5, 2.0])
    torch.testing.assert_close(pairs[10][1], raw / (raw.max() * raw.min()).sqrt())
    weights = _awq_search.weight_mean(torch.tensor([[1.0, -2.0, 4.0]]), None)
    torch.testing.assert_close(weights, torch.tensor([0.25, 0.5, 1.0]))
    scaled = _awq_search.candidates(a, 20, weights)
    assert len(scaled) == 21
    assert torch.equal(scaled[0][1], torch.ones(3))  # plain rounding is searched in this variant too


def test_a_search_without_a_finite_loss_is_a_sentence(
    tmp_path: Path, tiny_source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny_source("llama", tmp_path / "m")
    monkeypatch.setattr(_awq_block, "_loss", lambda *_: lambda _: float("nan"))
    with pytest.raises(ValueError, match=r"model\.layers\.0, .*k_proj.*: no scale gives a finite loss"):
        Awq(**SMALL).compress(source, calibration(), tmp_path / "a")


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_the_original_block_is_never_written_to(name: str, tmp_path: Path, tiny_source: Make) -> None:
    """On a CPU a backup made by moving to the CPU is the live tensor; here nothing needs one."""
    source, text = tiny_source(name, tmp_path), calibration()
    moments = gather(source, text, {"abs_mean", "gram:32"})
    for block in walk(source, text.tokens):
        before = {key: tensor.clone() for key, tensor in block.module.state_dict().items()}
        stored = stored_of(source, block)
        searched = search_block(block, stored, family(source.config), recipe(), moments)
        pack_block(stored, family(source.config), recipe(), searched)
        after = block.module.state_dict()
        assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
        assert all(torch.equal(stored[key], tensor) for key, tensor in before.items())


# The artifact


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_one_scale_and_no_clip_is_rtn_exactly(name: str, tmp_path: Path, tiny_source: Make) -> None:
    source = tiny_source(name, tmp_path / "m")
    Awq(bits=3, granularity="group:32", grid=1, clip=False).compress(source, calibration(), tmp_path / "a")
    Rtn(bits=3, granularity="group:32").compress(source, None, tmp_path / "r")
    ours, theirs = artifact.read_manifest(tmp_path / "a"), artifact.read_manifest(tmp_path / "r")
    assert ours.tensors == theirs.tensors
    assert ours.layers == theirs.layers


@pytest.mark.parametrize("name", ["gemma3_text", "qwen3"])
def test_channels_that_matter_are_kept_better_than_by_rounding(name: str, tmp_path: Path, tiny_source: Make) -> None:
    source = tiny_source(name, tmp_path / "m")
    loud = source.model()
    with torch.no_grad():
        for layer in loud.model.layers:
            for norm in (
                layer.input_layernorm,
                getattr(layer, "pre_feedforward_layernorm", layer.post_attention_layernorm),
            ):
                norm.weight[::16] += 20
    loud.save_pretrained(source.folder)
    text, tokens = calibration(), calibration(length=40).tokens
    with torch.no_grad():
        original = source.model()(tokens).logits
        error = {}
        for label, method in {"awq": Awq(bits=3, granularity="group:32"), "rtn": Rtn(3, "group:32")}.items():
            method.compress(source, text, tmp_path / label)
            error[label] = float((artifact.load(tmp_path / label)(tokens).logits - original).square().mean())
    assert error["awq"] < 0.7 * error["rtn"]


def test_the_folded_gains_of_gemma_survive_bfloat16(tmp_path: Path, tiny_source: Make) -> None:
    source = replace(tiny_source("gemma3_text", tmp_path / "m"), dtype="bfloat16")
    Awq(**SMALL).compress(source, calibration(), tmp_path / "a")
    for materialize in (True, False):
        model = artifact.load(tmp_path / "a", "bfloat16", materialize=materialize)
        assert model.model.layers[0].input_layernorm.weight.dtype == torch.float32
        assert model.model.layers[0].self_attn.q_norm.weight.dtype == torch.bfloat16
        assert torch.isfinite(model(calibration().tokens).logits).all()


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_both_walks_and_a_second_run_give_one_artifact(
    name: str, tmp_path: Path, tiny_source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny_source(name, tmp_path / "m", tied=True, shard="60KB")
    digests = {Awq(**SMALL).compress(source, calibration(), tmp_path / run).digest for run in ("first", "second")}
    for module in (_awq, _moments):
        monkeypatch.setattr(module, "walk", partial(walk, form="live"))
    digests.add(Awq(**SMALL).compress(source, calibration(), tmp_path / "live").digest)
    assert len(digests) == 1


def test_a_run_cut_short_keeps_its_blocks_and_gives_the_same_artifact(
    tmp_path: Path, tiny_source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, text = tiny_source("gemma3_text", tmp_path / "m", layers=3), calibration(tmp_path / "cache")
    whole = Awq(**SMALL).compress(source, text, tmp_path / "whole")

    def killed(what: str, done: int, total: int) -> None:
        if what == "awq blocks" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Awq(**SMALL).compress(source, text, tmp_path / "cut", killed)
    stamps = [path.stat().st_mtime_ns for path in sorted((tmp_path / "cut").glob("block-*"))]
    assert len(stamps) == 2
    packed = []
    monkeypatch.setattr(_awq, "pack_block", lambda *args: packed.append(1) or pack_block(*args))
    assert Awq(**SMALL).compress(source, text, tmp_path / "cut").digest == whole.digest
    assert packed == [1]
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "cut").glob("block-*"))[:2]] == stamps


def test_three_bits_after_four_gathers_no_moments(
    tmp_path: Path, tiny_source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, text, passes = tiny_source("llama", tmp_path / "m"), calibration(tmp_path / "cache"), []
    monkeypatch.setattr(_moments, "walk", lambda *args: passes.append(1) or walk(*args))
    four = Awq(bits=4, **SMALL).compress(source, text, tmp_path / "4")
    three = Awq(bits=3, **SMALL).compress(source, text, tmp_path / "3")
    assert passes == [1]
    assert four.digest != three.digest


def test_linears_that_groups_do_not_divide_are_untouched_and_unscaled(tmp_path: Path, tiny_source: Make) -> None:
    source = tiny_source("llama", tmp_path / "m", grouped=False)  # 64 channels but for down's 128
    result = Awq(grid=3, clip_grid=2).compress(source, calibration(), tmp_path / "a")
    assert set(artifact.read_manifest(tmp_path / "a").layers) == {f"model.layers.{i}.mlp.down_proj" for i in (0, 1)}
    assert result.untouched["model.layers.0.mlp.up_proj"] == "groups of 128 do not divide its 64 input channels"
    found = json.loads((tmp_path / "a" / _awq.SEARCH).read_text())["model.layers.0"]
    assert found["down"] == {"unscaled": "mlp.up_proj, which makes its input, is untouched"}
    assert found["qkv"] == {"unscaled": "its linears are untouched"}
    original = source.model().state_dict()
    kept = artifact.load(tmp_path / "a").state_dict()
    assert [key for key in original if "down" not in key and not torch.equal(original[key], kept[key])] == []


@pytest.mark.parametrize("options", [{"granularity": "row"}, {"symmetric": True}, {"weight_scaling": True}])
def test_other_grids(options: dict[str, object], tmp_path: Path, tiny_source: Make) -> None:
    source = tiny_source("mistral", tmp_path / "m", grouped=False)
    Awq(**(SMALL | options)).compress(source, calibration(), tmp_path / "a")  # type: ignore[arg-type]
    found = json.loads((tmp_path / "a" / _awq.SEARCH).read_text())
    assert all(f["loss"] <= f["plain_loss"] for groups in found.values() for f in groups.values())
    assert set(found["model.layers.0"]) == {"qkv", "o", "gate_up", "down"}


def test_search_tokens_are_beginnings_of_all_sequences_then_languages_in_turn() -> None:
    text = calibration(sequences=6, length=1024)
    assert torch.equal(search_sequences(text, 6 * 1024), text.tokens)
    assert torch.equal(search_sequences(text, 6 * 512), text.tokens[:, :512])
    assert torch.equal(search_sequences(text, 512), text.tokens[:2, :256])  # ko and en
    assert torch.equal(search_sequences(text, 1), text.tokens[:1, :256])
    unfair = replace(text, languages=("en", "en", "en", "ko", "ko", "ja"))
    assert torch.equal(search_sequences(unfair, 768), text.tokens[[0, 3, 5], :256])


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("bits", 5, ("bits=5", "2, 3, 4, 8")),
        ("bits", True, ("bits=True",)),
        ("granularity", "128", ("granularity='128'", "group:SIZE")),
        ("grid", 0, ("grid=0", "from 1 to 1000")),
        ("clip_grid", 21, ("clip_grid=21", "from 1 to 20")),
        ("search_tokens", 1.5, ("search_tokens=1.5", "from 1")),
        ("clip", "yes", ("clip='yes'", "true and false")),
    ],
)
def test_wrong_parameters_are_sentences(field: str, value: object, words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=field) as problem:
        Awq(**{field: value})  # type: ignore[arg-type]
    assert all(word in str(problem.value) for word in words)


def test_awq_without_calibration_text_says_so(tmp_path: Path, tiny_source: Make) -> None:
    with pytest.raises(ValueError, match=r"awq needs calibration text.*\[calibration\]"):
        Awq().compress(tiny_source("llama", tmp_path / "m"), None, tmp_path / "a")
