"""Rotations of whole models: the same logits in float64, from rotated inputs or from a rotated stream."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from methods._blocks import FAMILIES, family
from methods._rotated import TurnedLinear
from methods._rotation import rotation
from methods._stream import EXACT, require_stream, rotate_stream, turn_tensors
from methods.base import Source, UnsupportedModel

Make = Callable[..., Source]
TOKENS = torch.randint(4, 96, (2, 24), generator=torch.Generator().manual_seed(1))


def model64(folder: Path) -> nn.Module:
    """In float64 throughout: the library's norms compute in float32 whatever the model's type."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    for norm in model.modules():
        if type(norm).__name__.endswith("RMSNorm"):
            norm.forward = partial(normed, norm)
    return model


def normed(norm: Any, x: torch.Tensor) -> torch.Tensor:
    gemma = type(norm).__name__.startswith("Gemma")
    gain, eps = (1 + norm.weight, norm.eps) if gemma else (norm.weight, norm.variance_epsilon)
    return nn.functional.rms_norm(x, (x.shape[-1],), gain, eps)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_rotated_inputs_change_nothing_on_any_family(name: str, tiny_source: Make, tmp_path: Path) -> None:
    source = tiny_source(name, tmp_path / "m")
    model = model64(source.folder)
    with torch.no_grad():
        expected = model(TOKENS).logits
        for layer in model.model.layers:
            for linear in family(source.config).linears:
                inner = layer.get_submodule(linear)
                turn = rotation(inner.in_features, seed=5)
                inner.weight.copy_(turn.apply(inner.weight))
                layer.set_submodule(linear, TurnedLinear(inner, turn))
        error = float((model(TOKENS).logits - expected).abs().max())
    print(f"{name}: {error:.1e}")
    assert error < 1e-9
    assert not torch.equal(layer.mlp.up_proj.linear.weight, layer.mlp.up_proj.expanded().weight)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("grouped", [True, False])
def test_a_rotated_stream_changes_nothing_where_it_is_exact(
    name: str, grouped: bool, tiny_source: Make, tmp_path: Path
) -> None:
    source = tiny_source(name, tmp_path / "m", grouped=grouped)
    model = model64(source.folder)
    with torch.no_grad():
        expected, state = model(TOKENS).logits, {n: t.clone() for n, t in model.state_dict().items()}
        parts = [[n for n in state if n.startswith(f"model.layers.{i}.")] for i in (0, 1)]
        parts.append([n for n in state if not n.startswith("model.layers.")])
        turned = {}
        for part in parts:
            turned |= turn_tensors({n: state[n] for n in part}, source.config, seed=5)
        moved = {n for n in state if not torch.equal(turned[n], state[n])}
        model.load_state_dict(turned)
        hidden = model.model.embed_tokens(TOKENS)
        error = float((model(TOKENS).logits - expected).abs().max())
    print(f"{name}: {error:.1e}")
    assert error < 1e-9
    still = {n.rpartition("layers.")[2][2:] for n in state.keys() - moved}
    assert still <= {f"self_attn.{n}" for n in ("q_proj.bias", "k_proj.bias", "q_norm.weight", "k_norm.weight")}
    assert not torch.allclose(hidden, state["model.embed_tokens.weight"][TOKENS])


def test_the_checkpoint_of_a_rotated_stream_is_the_same_model(tiny_source: Make, tmp_path: Path) -> None:
    source = tiny_source("qwen2", tmp_path / "m")
    turned = rotate_stream(source, tmp_path / "t")
    assert turned.digest == source.digest
    torch.testing.assert_close(turned.model()(TOKENS).logits, source.model()(TOKENS).logits, rtol=1e-4, atol=1e-4)
    norms = [p for n, p in turned.model().named_parameters() if n.endswith("norm.weight")]
    assert all(torch.equal(norm, torch.ones_like(norm)) for norm in norms)


def test_what_is_not_exact_is_refused_with_its_reason(tiny_source: Make, tmp_path: Path) -> None:
    for name in ("gemma2", "gemma3_text"):
        with pytest.raises(UnsupportedModel, match=f"not exact for {name}: its norms after attention and MLP"):
            require_stream(tiny_source(name, tmp_path / name))
    with pytest.raises(UnsupportedModel, match="grow by a second one"):
        require_stream(tiny_source("llama", tmp_path / "tied", tied=True))
