"""The rotated layer: stored and loaded as it is; few bits per token, by hand."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from methods._affine import quantize
from methods._kinds import KINDS
from methods._rotated import RotatedLinear, by_token
from methods._rotation import rotation
from methods._sparse_affine import MaskedAffineLinear
from methods._sparse_bitmask import MaskedLinear


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pruned(run: int = 1) -> Tensor:
    gone = random(6, 48 // run, seed=1) > 0
    return random(6, 48).masked_fill(gone.repeat_interleave(run, 1), 0)


def layers(run: int = 1) -> dict[str, MaskedLinear | MaskedAffineLinear]:
    weight, found = pruned(run), {"float": MaskedLinear.from_weight(pruned(run), random(6), run)}
    for bits, group, symmetric in ((4, None, True), (3, 16, False), (8, 24, True)):
        affine = quantize(weight, bits, group, symmetric)
        held = MaskedAffineLinear.holding(affine, bits, group, symmetric, random(6), run)
        found[f"{bits} {group} {symmetric}"] = held
    return found


@pytest.mark.parametrize("run", [1, 2])
def test_a_pruned_quantized_layer_holds_what_is_not_zero(run: int) -> None:
    weight = pruned(run)
    for name, layer in layers(run).items():
        spec = json.loads(json.dumps(layer.spec()))
        with torch.device("meta"):
            empty = KINDS[spec["kind"]].from_spec(spec)
        empty.load_state_dict(layer.state_dict(), strict=True, assign=True)
        values = empty.dequantize()
        assert torch.equal(values, layer.dequantize())
        kept = int((values != 0).view(6, -1, run).any(-1).sum()) * run
        assert spec["kept"] == kept == KINDS[spec["kind"]].stored(spec)
        assert not values[weight == 0].any()
        assert layer.mask.nbytes == 6 * (48 // run // 8)
        if isinstance(layer, MaskedAffineLinear):
            affine = quantize(weight, layer.bits, layer.group, layer.symmetric)
            assert torch.equal(values, KINDS["affine"].from_affine(affine, layer.bits, layer.group).dequantize())
            assert layer.codes.nbytes == (kept * layer.bits + 7) // 8, name


@pytest.mark.parametrize("turn", [None, rotation(48, 3)])
@pytest.mark.parametrize("kind", ["float", "4 None True", "3 16 False"])
def test_what_runs_is_what_is_stored(turn: object, kind: str) -> None:
    layer = RotatedLinear(layers()[kind], turn)  # type: ignore[arg-type]
    with torch.device("meta"):
        empty = RotatedLinear.from_spec(json.loads(json.dumps(layer.spec())))
    empty.load_state_dict(layer.state_dict(), strict=True, assign=True)
    x = random(3, 48, seed=2)
    expected = x @ empty.dequantize().T + layer.linear.bias
    for runs in (empty, empty.materialize(torch.float32), empty.materialize(torch.float32).expanded()):
        torch.testing.assert_close(runs(x), expected)
    torch.testing.assert_close(empty.materialize(torch.bfloat16)(x.bfloat16()).float(), expected, rtol=0.05, atol=0.1)
    assert set(RotatedLinear.PARTS) >= set(layer.state_dict())
    before = layer.dequantize()
    layer.to(torch.bfloat16)
    assert torch.equal(layer.dequantize(), before)
    assert layer.linear.bias.dtype == torch.bfloat16


def test_a_token_has_a_grid_of_its_own() -> None:
    x = torch.tensor([[7.0, -3.4, 0.6, 0.4], [0.7, -0.34, 0.06, 0.04], [0, 0, 0, 0]])
    expected = torch.tensor([[7.0, -3, 1, 0], [0.7, -0.3, 0.1, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(by_token(x, 4), expected)
    assert by_token(x.bfloat16(), 8).dtype == torch.bfloat16


def test_few_bits_are_of_the_rotated_input_and_of_the_output() -> None:
    turn = rotation(48, 3)
    inner = layers()["float"]
    x = random(3, 48, seed=2)
    plain = by_token(turn.apply(x), 4) @ inner.dequantize().T + inner.bias
    for layer in (RotatedLinear(inner, turn, 4, 8), RotatedLinear(inner, turn, 4, 8).materialize(torch.float32)):
        torch.testing.assert_close(layer(x), by_token(plain, 8))
