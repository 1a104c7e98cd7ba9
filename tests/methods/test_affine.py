"""The affine grid: against a slow loop over single numbers, and at its edges."""

from __future__ import annotations

import pytest
import torch

from methods import _affine
from methods._affine import dequantize, fake, fake_pieces, misfit, parse_granularity, quantize


def weight(rows: int = 6, columns: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def by_hand(group: list[float], bits: int) -> list[float]:
    """One group by the formulas of the docstring, in Python's own floats."""
    low, high = min(*group, 0.0), max(*group, 0.0)
    scale = torch.tensor((high - low) / (2**bits - 1)).half().item()
    zero = min(max(round(-low / scale), 0), 2**bits - 1)
    codes = [min(max(round(value / scale) + zero, 0), 2**bits - 1) for value in group]
    return [(code - zero) * scale for code in codes]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("group", [16, 64, None])
def test_error_is_at_most_half_a_step_inside_the_range(bits: int, symmetric: bool, group: int | None) -> None:
    w = weight()
    affine = quantize(w, bits, group, symmetric)
    assert affine.codes.max().item() < 2**bits
    assert affine.scale.dtype == torch.float16
    assert affine.scale.shape == affine.zero.shape == (6, 64 // (group or 64))
    steps = affine.scale.float().repeat_interleave(group or 64, 1)
    # Rounding the scale to float16 and the zero to a whole number moves the ends of the grid a little.
    slack = 2**bits * 2**-11 + 0.5
    assert ((dequantize(affine, group) - w).abs() <= steps * (0.5 + slack)).all()


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_formulas(bits: int) -> None:
    w = weight(3, 32)
    expected = [[v for k in range(0, 32, 16) for v in by_hand(row[k : k + 16], bits)] for row in w.tolist()]
    assert torch.allclose(dequantize(quantize(w, bits, 16), 16), torch.tensor(expected), atol=1e-6)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fake_is_quantize_and_dequantize_to_the_bit(symmetric: bool, dtype: torch.dtype) -> None:
    w = weight().to(dtype)
    before = w.clone()
    low, high = torch.full((6, 4), -0.8), torch.full((6, 4), 0.9)
    for limits in ((None, None), (low, high)):
        assert torch.equal(fake(w, 3, 16, symmetric, *limits), dequantize(quantize(w, 3, 16, symmetric, *limits), 16))
    assert torch.equal(w, before), "the weight itself must stay as it is"


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    w, columns = weight(7, 64), torch.linspace(0.3, 3, 64)
    w[3, 16:32] *= 1e-6  # a scale too small for float16, in one piece, makes all scales float32
    high = torch.full((7, 4), 0.9)

    def found() -> tuple[torch.Tensor, ...]:
        scaled = torch.cat([piece for _, piece in fake_pieces(w, 3, 16, False, -high, high, columns)])
        return scaled, fake(w, 3, 16), *(packed := quantize(w, 3, 16, False, -high, high)), dequantize(packed, 16)

    whole = found()
    assert whole[3].dtype == torch.float32
    torch.testing.assert_close(whole[0], fake(w * columns, 3, 16, False, -high, high) / columns, rtol=0, atol=0)
    monkeypatch.setattr(_affine, "PIECE", 128)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert len(_affine.pieces(w)) == 4
    assert all(torch.equal(now, then) for now, then in zip(found(), whole, strict=True))


def test_limits_cut_off_and_make_the_grid_finer() -> None:
    w = weight(1, 64)
    low, high = torch.tensor([[-1.0]]), torch.tensor([[1.0]])
    clipped = quantize(w, 4, 64, low=low, high=high)
    assert clipped.scale.item() == pytest.approx(2 / 15, rel=1e-3)
    assert dequantize(clipped, 64).abs().max() <= 1.1
    wide = quantize(w, 4, 64, low=10 * low, high=10 * high)
    assert torch.equal(wide.scale, quantize(w, 4, 64).scale), "limits beyond the weights change nothing"


@pytest.mark.parametrize("constant", [0.7, -0.7])
def test_a_group_of_one_sign_keeps_its_far_end(constant: float) -> None:
    w = torch.full((1, 16), constant)
    affine = quantize(w, 4, 16)
    assert dequantize(affine, 16)[0, 0].item() == pytest.approx(constant, rel=1e-3)
    shifted = w + torch.linspace(0, 0.1, 16) * (1 if constant > 0 else -1)
    assert (dequantize(quantize(shifted, 4, 16), 16) - shifted).abs().max() <= 0.8 / 15 * 0.51


@pytest.mark.parametrize("symmetric", [False, True])
def test_zeros_stay_zeros_and_keep_half_precision_scales(symmetric: bool) -> None:
    w = weight(4, 32)
    w[1] = 0
    w[2, :16] = 0
    affine = quantize(w, 3, 16, symmetric)
    assert affine.scale.dtype == torch.float16
    values = dequantize(affine, 16)
    assert (values[1] == 0).all()
    assert (values[2, :16] == 0).all()


def test_exact_zero_is_on_every_grid() -> None:
    w = weight() + 3.0
    w[:, 5] = 0
    assert (dequantize(quantize(w, 3, 16), 16)[:, 5] == 0).all()


@pytest.mark.parametrize("factor", [1e-6, 3e6])
def test_scales_outside_half_precision_are_stored_in_single(factor: float) -> None:
    w = weight() * factor
    affine = quantize(w, 4, 16)
    assert affine.scale.dtype == torch.float32
    assert (dequantize(affine, 16) - w).abs().max() <= affine.scale.max() * 0.51


def test_the_largest_floats_do_not_overflow() -> None:
    w = torch.tensor([[3e38, -3e38, 0.0, 1e38]])
    assert torch.isfinite(dequantize(quantize(w, 8, None), None)).all()


def test_granularity() -> None:
    assert parse_granularity("group:128") == 128
    assert parse_granularity("row") is None
    for wrong in ("group", "group:0", "group:x", "rows", "group:-1", "channel"):
        with pytest.raises(ValueError, match=f"granularity='{wrong}': allowed are 'row' and 'group:SIZE'"):
            parse_granularity(wrong)


def test_groups_that_do_not_fit() -> None:
    assert misfit(64, 16) is None
    assert misfit(80, None) is None
    assert misfit(80, 128) == "groups of 128 do not divide its 80 input channels"
    with pytest.raises(ValueError, match=r"shape \(6, 64\) cannot be quantized: groups of 48"):
        quantize(weight(), 4, 48)
