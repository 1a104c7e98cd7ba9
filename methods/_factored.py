"""The linear layer of low rank: two linears, ``x -> second(first(x))``, each in 16 bits or on an affine grid.

Linears that were stacked over their common input share one ``first``: it is stored with the first of them, the
*lender*, and computed once for all.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from methods._linear import AffineLinear
from methods._stored import StoredLinear, dtype_name

FACTORS = {
    f"{factor}.{name}": "codes" if name in ("codes", "weight") else "scales"
    for factor in ("first", "second")
    for name in ("weight", "codes", "scale", "zero")
}


class HalfLinear(StoredLinear):
    """A factor in 16 bits: float16, or bfloat16 where a value is too large for that. Buffer ``weight (out, in)``."""

    weight: Tensor

    def __init__(self, in_features: int, out_features: int, dtype: str = "float16") -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("weight", torch.empty(out_features, in_features, dtype=getattr(torch, dtype)))
        self.register_buffer("bias", None)

    @classmethod
    def from_weight(cls, weight: Tensor) -> HalfLinear:
        with torch.device("meta"):
            layer = cls(weight.shape[1], weight.shape[0])
        layer.weight = half(weight)
        return layer

    def spec(self) -> dict[str, Any]:
        dtype = dtype_name(self.weight.dtype)
        return {"in_features": self.in_features, "out_features": self.out_features, "dtype": dtype}

    def dequantize(self) -> Tensor:
        """float32 ``(out, in)``."""
        return self.weight.float()


Factor = HalfLinear | AffineLinear


def half(values: Tensor) -> Tensor:
    """In float16, or bfloat16 where that would overflow."""
    return values.to(torch.float16 if float(values.abs().max()) < torch.finfo(torch.float16).max else torch.bfloat16)


def factor_from_spec(spec: Mapping[str, Any]) -> Factor:
    return AffineLinear.from_spec(spec) if "bits" in spec else HalfLinear(**spec)


class FactoredLinear(nn.Module):
    """A linear layer stored as two factors.

    Buffers: those of ``first (rank, in)`` (absent in a borrower) and ``second (out, rank)``; ``bias (out,)``, the
    original's, or absent; ``shift (out,)``, what a centred factorisation adds to the bias, or absent.
    """

    KIND: ClassVar[str] = "factored"
    PARTS: ClassVar[Mapping[str, str]] = FACTORS | {"shift": "side", "bias": "rest"}
    ACTIVATION_TYPED: ClassVar[frozenset[str]] = frozenset({"bias", "shift"})

    bias: Tensor | None
    shift: Tensor | None

    def __init__(
        self,
        first: Factor | None,
        second: Factor,
        in_features: int,
        bias: Tensor | None = None,
        shift: Tensor | None = None,
        shares: str | None = None,
    ) -> None:
        """``first=None``: a borrower, with ``shares`` the full name of its lender."""
        super().__init__()
        self.in_features, self.out_features, self.rank = in_features, second.out_features, second.in_features
        self.first, self.second, self.shares = first, second, shares
        self.register_buffer("bias", bias)
        self.register_buffer("shift", shift)
        self._lender: FactoredLinear | None = None

    def spec(self) -> dict[str, Any]:
        """All that is needed to build an empty layer of this shape: JSON."""
        return {
            "kind": self.KIND,
            "in_features": self.in_features,
            "out_features": self.out_features,
            "first": self.first.spec() if self.first is not None else None,
            "second": self.second.spec(),
            "bias": self.bias is not None,
            "shift": self.shift is not None,
            "shares": self.shares,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> FactoredLinear:
        """A layer with unset buffers; a borrower still has to ``borrow``."""
        return cls(
            first=factor_from_spec(spec["first"]) if spec["first"] else None,
            second=factor_from_spec(spec["second"]),
            in_features=spec["in_features"],
            bias=torch.empty(spec["out_features"]) if spec["bias"] else None,
            shift=torch.empty(spec["out_features"]) if spec["shift"] else None,
            shares=spec["shares"],
        )

    @staticmethod
    def stored(spec: Mapping[str, Any]) -> int:
        """How many numbers stand in for the weight's ``in_features * out_features``, with what the bias gained."""
        return FactoredLinear.products(spec) + (spec["out_features"] if spec["shift"] else 0)

    @staticmethod
    def products(spec: Mapping[str, Any]) -> int:
        """How many multiplications one row of input takes; a shared first factor's are its lender's."""
        held = [spec["second"], *([spec["first"]] if spec["first"] else [])]
        return sum(factor["in_features"] * factor["out_features"] for factor in held)

    def borrow(self, lender: FactoredLinear) -> None:
        """Take ``first`` from the layer it is stored with."""
        object.__setattr__(self, "_lender", lender)  # no submodule: its buffers stay the lender's

    def _first(self) -> Factor:
        owner = self if self._lender is None else self._lender
        if owner.first is None:
            raise ValueError(f"This layer's first factor is stored with {self.shares}: borrow it first.")
        return owner.first

    def dequantize(self) -> Tensor:
        """float32 ``(out, in)``: the factors multiplied out."""
        return self.second.dequantize() @ self._first().dequantize()

    def _whole_bias(self, dtype: torch.dtype) -> Tensor | None:
        parts = [part.to(dtype) for part in (self.bias, self.shift) if part is not None]
        return sum(parts[1:], parts[0]) if parts else None

    def forward(self, x: Tensor) -> Tensor:
        inner = linear(x, self._first().dequantize().to(x.dtype))
        return linear(inner, self.second.dequantize().to(x.dtype), self._whole_bias(x.dtype))

    def materialize(self, dtype: torch.dtype) -> LowRankLinear:
        """Two ordinary linears with the same numbers, in ``dtype``; a borrower still has to ``borrow``."""
        first = None if self.first is None else SharedLinear(_plain(self.first.dequantize().to(dtype)))
        return LowRankLinear(first, _plain(self.second.dequantize().to(dtype), self._whole_bias(dtype)))

    def extra_repr(self) -> str:
        return f"in={self.in_features}, out={self.out_features}, rank={self.rank}"


class LowRankLinear(nn.Module):
    """``second(first(x))``: two matrix products where the dense layer has one, and fewer operations."""

    def __init__(self, first: SharedLinear | None, second: nn.Linear) -> None:
        super().__init__()
        self.first, self.second = first, second

    @property
    def in_features(self) -> int:
        assert self.first is not None
        return self.first.linear.in_features

    @property
    def out_features(self) -> int:
        return self.second.out_features

    def borrow(self, lender: LowRankLinear) -> None:
        """Read the first product where the lender computes it."""
        assert lender.first is not None
        self.first = lender.first
        self.first.readers += 1

    def forward(self, x: Tensor) -> Tensor:
        assert self.first is not None
        return self.second(self.first(x, self))

    def expanded(self) -> nn.Linear:
        """One dense linear: the factors multiplied out in float32. No smaller, no faster."""
        assert self.first is not None
        weight = (self.second.weight.float() @ self.first.linear.weight.float()).to(self.second.weight.dtype)
        return _plain(weight, self.second.bias)


class SharedLinear(nn.Module):
    """A linear that ``readers`` layers read with one and the same input, one after the other: computed once.

    What it made is let go when all have read it, or another input comes, or a reader comes a second time.
    """

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.linear = inner
        self.readers = 1
        self._made: tuple[Any, Tensor] | None = None
        """A weak reference to the input, and the output."""
        self._served: set[int] = set()

    def forward(self, x: Tensor, reader: nn.Module) -> Tensor:
        if self._made is None or self._made[0]() is not x or id(reader) in self._served:
            self._made, self._served = (weakref.ref(x), self.linear(x)), set()
        made = self._made[1]
        self._served.add(id(reader))
        if len(self._served) == self.readers:
            self._made = None
        return made


def _plain(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer
