"""Moments: what they are, that they are gathered once, and what a damaged cache costs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from methods import _walk
from methods._moments import gather
from methods.base import Calibration, Source

Make = Callable[..., Source]
LANGUAGES = ("en", "ko", "en")


def calibration(cache: Path | None = None, **changes: object) -> Calibration:
    tokens = torch.randint(4, 96, (3, 20), generator=torch.Generator().manual_seed(1))
    made = Calibration(tokens, LANGUAGES, {"en": 0.25, "ko": 0.75}, "fingerprint", cache=cache)
    return replace(made, **changes)  # type: ignore[arg-type]


def inputs_of(source: Source, linear: str, tokens: Tensor) -> Tensor:
    """What a linear of the second block reads: ``(3, 20, features)``, by a plain hook on the whole model."""
    model, seen = source.model(), []
    hook = lambda module, args: seen.append(args[0])  # noqa: E731
    model.model.layers[1].get_submodule(linear).register_forward_pre_hook(hook)
    with torch.no_grad():
        model(tokens)
    return seen[0]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prefix of every block whose forward ran."""
    made: list[str] = []
    call = _walk.Block.call

    def counted(block: _walk.Block, hidden: Tensor) -> Tensor:
        made.append(block.prefix)
        return call(block, hidden)

    monkeypatch.setattr(_walk.Block, "call", counted)
    return made


@pytest.mark.parametrize("batch_tokens", [4096, 40])
@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
def test_moments_are_the_means_of_what_the_linears_read(
    name: str, batch_tokens: int, tmp_path: Path, tiny_source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_walk, "BATCH_TOKENS", batch_tokens)
    source, text = tiny_source(name, tmp_path), calibration()
    moments = gather(source, text, {"abs_mean", "gram:32", "gram:row", "gram64", "mean", "first"})
    for group, linear in {"qkv": "self_attn.q_proj", "o": "self_attn.o_proj", "down": "mlp.down_proj"}.items():
        x = inputs_of(source, linear, text.tokens)
        english, korean = x[[0, 2]].flatten(0, 1), x[1]
        torch.testing.assert_close(moments.abs_means(1, group)["en"], english.abs().mean(0))
        torch.testing.assert_close(
            moments.abs_mean(1, group), 0.25 * english.abs().mean(0) + 0.75 * korean.abs().mean(0)
        )
        torch.testing.assert_close(moments.abs_mean(1, group, {"ko": 2.0}), korean.abs().mean(0))
        full = 0.25 * english.T @ english / 40 + 0.75 * korean.T @ korean / 20
        torch.testing.assert_close(moments.gram(1, group, None), full[None])
        weights = torch.tensor([0.25 / 40, 0.75 / 20, 0.25 / 40], dtype=torch.float64)[:, None, None]
        wide = x.double()
        torch.testing.assert_close(moments.mean(1, group), (weights * wide).sum((0, 1)), rtol=1e-6, atol=1e-8)
        second = torch.einsum("sti,stj->ij", weights * wide, wide)
        torch.testing.assert_close(moments.second_moment(1, group), second, rtol=1e-6, atol=1e-8)
        first, shares = wide[:, 0], torch.tensor([0.125, 0.75, 0.125], dtype=torch.float64)  # of the sequences
        first_gram, first_mean = moments.first(1, group)
        torch.testing.assert_close(first_mean, shares @ first, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(first_gram, first.T @ (shares[:, None] * first), rtol=1e-6, atol=1e-8)
        by_group = moments.gram(1, group, 32)
        assert by_group is not None
        for index, gram in enumerate(by_group):
            part = slice(32 * index, 32 * index + 32)
            torch.testing.assert_close(gram, full[part, part])


def test_a_second_method_pays_no_second_pass(tmp_path: Path, tiny_source: Make, calls: list[str]) -> None:
    source, text = tiny_source("llama", tmp_path / "m"), calibration(tmp_path / "cache")
    first = gather(source, text, {"abs_mean", "gram:32"})
    assert calls == ["model.layers.0", "model.layers.1"]
    second = gather(source, text, {"gram:32", "abs_mean"})
    assert len(calls) == 2
    assert torch.equal(first.abs_mean(0, "down"), second.abs_mean(0, "down"))
    gather(source, text, {"abs_mean", "gram:64"})  # one new need: one more pass, for that need alone
    assert len(calls) == 4


def test_another_text_model_dtype_or_weight_misses_the_cache(
    tmp_path: Path, tiny_source: Make, calls: list[str]
) -> None:
    source, text = tiny_source("llama", tmp_path / "m"), calibration(tmp_path / "cache")
    others = [
        (source, text),
        (replace(source, digest="other"), text),
        (replace(source, dtype="bfloat16"), text),
        (source, replace(text, tokens=text.tokens.flip(0))),
        (source, replace(text, weights={"en": 0.5, "ko": 0.5})),
    ]
    for count, (base, data) in enumerate(others, 1):
        gather(base, data, {"abs_mean"})
        assert len(calls) == 2 * count


@pytest.mark.parametrize("damage", ["altered", "cut", "missing", "index"])
def test_a_damaged_cache_is_noticed_and_gathered_again(
    damage: str, tmp_path: Path, tiny_source: Make, calls: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    source, text = tiny_source("llama", tmp_path / "m"), calibration(tmp_path / "cache")
    whole = gather(source, text, {"abs_mean"}).abs_mean(1, "down")
    (path,) = (tmp_path / "cache").rglob("abs_mean-00001.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    if damage == "altered":
        path.write_bytes(data)
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "missing":
        path.unlink()
    else:
        path.with_name("abs_mean.json").write_text('{"blocks": [')
    with caplog.at_level(logging.WARNING):
        again = gather(source, text, {"abs_mean"})
    assert len(calls) == 4
    assert "abs_mean" in caplog.text
    assert "gathered again" in caplog.text
    assert torch.equal(again.abs_mean(1, "down"), whole)
    gather(source, text, {"abs_mean"})
    assert len(calls) == 4


def test_a_pass_cut_short_leaves_no_moments(tmp_path: Path, tiny_source: Make) -> None:
    source, text = tiny_source("llama", tmp_path / "m"), calibration(tmp_path / "cache")

    def killed(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather(source, text, {"abs_mean"}, killed)
    assert not list((tmp_path / "cache").rglob("*.json"))
    gather(source, text, {"abs_mean"}).abs_mean(1, "o")


def test_unknown_needs_and_weights_are_refused(tmp_path: Path, tiny_source: Make) -> None:
    source = tiny_source("llama", tmp_path)
    with pytest.raises(ValueError, match=r"'gram:x'.*'abs_mean', 'first', 'gram64', 'mean', 'gram:SIZE'"):
        gather(source, calibration(), {"gram:x"})
    with pytest.raises(ValueError, match="disagree about fr, ko"):
        gather(source, calibration(weights={"en": 0.5, "fr": 0.5}), {"abs_mean"})
    with pytest.raises(KeyError, match=r"gram:32 of block 0 was not gathered"):
        gather(source, calibration(), {"abs_mean"}).gram(0, "o", 32)


def test_a_group_size_that_does_not_divide_has_no_gram(tmp_path: Path, tiny_source: Make) -> None:
    moments = gather(tiny_source("llama", tmp_path), calibration(), {"gram:128"})
    assert moments.gram(0, "qkv", 128) is None  # 64 channels
    assert moments.gram(0, "down", 128).shape == (1, 128, 128)  # type: ignore[union-attr]
