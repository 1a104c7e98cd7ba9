"""What linear layers that store something else than their weight have in common: loading, running, moving."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class StoredLinear(nn.Module):
    """A layer whose buffers are what is stored; a subclass says in ``dequantize`` which weight they stand for."""

    KIND: ClassVar[str]
    ACTIVATION_TYPED: ClassVar[frozenset[str]] = frozenset({"bias"})
    """Buffers that follow the model's dtype; all others keep the type they are stored in."""

    in_features: int
    out_features: int
    bias: Tensor | None

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """A layer with unset buffers."""
        return cls(**{name: value for name, value in spec.items() if name != "kind"})

    def spec(self) -> dict[str, Any]:
        """All that is needed to build an empty layer of this shape: JSON. A subclass adds its own."""
        size = {"in_features": self.in_features, "out_features": self.out_features}
        return {"kind": self.KIND, **size, "bias": self.bias is not None}

    def dequantize(self) -> Tensor:
        """float32 ``(out, in)``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return linear(x, self.dequantize().to(x.dtype), bias)

    def materialize(self, dtype: torch.dtype) -> nn.Linear:
        """An ordinary dense linear layer with the same numbers, in ``dtype``."""
        with torch.device("meta"):
            layer = nn.Linear(self.in_features, self.out_features, self.bias is not None)
        layer.weight = nn.Parameter(self.dequantize().to(dtype), requires_grad=False)
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.to(dtype), requires_grad=False)
        return layer

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """``model.to(bfloat16)`` must not round what is stored: it only follows the device."""
        stored = {name: buffer for name, buffer in self.named_buffers() if name not in self.ACTIVATION_TYPED}
        super()._apply(fn, recurse)
        for name, buffer in stored.items():
            setattr(self, name, buffer.to(getattr(self, name).device))
        return self


def dtype_name(dtype: torch.dtype) -> str:
    """As the files name it.

    >>> dtype_name(torch.bfloat16)
    'bfloat16'
    """
    return str(dtype).removeprefix("torch.")
