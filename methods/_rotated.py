"""A linear that reads its input rotated, and may see it, or show what it makes, in few bits: around a pruned linear.

    y = Q_out(W' Q_in(x R) + b),     W' = W R

R is the rotation of :mod:`methods._rotation`: computed at run time, so exact on any architecture and folded into
nothing. ``Q_in`` and ``Q_out`` *simulate* few bits of activations and of the key and value cache, as QuaRot's command
does: one symmetric grid per token over all channels, nothing cut off (arXiv 2404.00456). Keys are seen as their linear
makes them, before rotary embedding. What is simulated saves neither time nor memory here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods._rotation import Rotation
from methods._sparse_affine import MaskedAffineLinear
from methods._sparse_bitmask import MaskedLinear
from methods._stored import StoredLinear

INNER: Mapping[str, type[StoredLinear]] = {kind.KIND: kind for kind in (MaskedLinear, MaskedAffineLinear)}
"""What can be rotated."""


def by_token(x: Tensor, bits: int) -> Tensor:
    """``x (..., features)`` on a symmetric grid per token: scale = max|x| / (2^(b-1) - 1), rounded to the nearest."""
    top = 2 ** (bits - 1) - 1
    wide = x.float()
    largest = wide.abs().amax(-1, keepdim=True)
    scale = torch.where(largest == 0, 1.0, largest / top)
    return (wide / scale).round_().mul_(scale).to(x.dtype)


class TurnedLinear(nn.Module):
    """``linear`` on rotated inputs. ``activations``, ``outputs``: simulated bits of what it reads and makes, 0: all."""

    def __init__(self, linear: nn.Module, rotation: Rotation | None, activations: int = 0, outputs: int = 0) -> None:
        super().__init__()
        self.linear: Any = linear
        self.rotation, self.activations, self.outputs = rotation, activations, outputs

    @property
    def in_features(self) -> int:
        return self.linear.in_features

    @property
    def out_features(self) -> int:
        return self.linear.out_features

    def forward(self, x: Tensor) -> Tensor:
        if self.rotation is not None:
            wide = x if x.dtype == torch.float64 else x.float()  # 16 bits would round after every factor
            x = self.rotation.apply(wide).to(x.dtype)
        if self.activations:
            x = by_token(x, self.activations)
        y = self.linear(x)
        return by_token(y, self.outputs) if self.outputs else y

    def unturned(self, weight: Tensor) -> Tensor:
        """W of W' ``(out, in)``, in its type."""
        return weight if self.rotation is None else self.rotation.undo(weight.double()).to(weight.dtype)

    def expanded(self) -> nn.Linear:
        """An ordinary linear that reads unrotated inputs. What was simulated is not in it."""
        with torch.device("meta"):
            layer = nn.Linear(self.in_features, self.out_features, self.linear.bias is not None)
        layer.weight = nn.Parameter(self.unturned(self.linear.weight), requires_grad=False)
        layer.bias = self.linear.bias
        return layer


class RotatedLinear(TurnedLinear):
    """A pruned linear stored in rotated coordinates. Buffers: those of ``linear``; the rotation is its seed."""

    KIND: ClassVar[str] = "rotated"
    PARTS: ClassVar[Mapping[str, str]] = {
        f"linear.{buffer}": part for kind in (MaskedLinear, MaskedAffineLinear) for buffer, part in kind.PARTS.items()
    }
    ACTIVATION_TYPED: ClassVar[frozenset[str]] = frozenset({"linear.bias"})

    def spec(self) -> dict[str, Any]:
        """All that is needed to build an empty layer of this shape: JSON."""
        turn = self.rotation
        return {
            "kind": self.KIND,
            "in_features": self.in_features,
            "out_features": self.out_features,
            "linear": self.linear.spec(),
            "rotation": None if turn is None else {"block": turn.block, "seed": turn.seed},
            "activations": self.activations,
            "outputs": self.outputs,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> RotatedLinear:
        """A layer with unset buffers."""
        linear = INNER[spec["linear"]["kind"]].from_spec(spec["linear"])
        turn = spec["rotation"] and Rotation(spec["in_features"], **spec["rotation"])
        return cls(linear, turn, spec["activations"], spec["outputs"])

    @staticmethod
    def stored(spec: Mapping[str, Any]) -> int:
        """How many weights are kept."""
        return spec["linear"]["kept"]

    def dequantize(self) -> Tensor:
        """float32 ``(out, in)``: the weight that reads unrotated inputs."""
        return self.unturned(self.linear.dequantize())

    def materialize(self, dtype: torch.dtype) -> TurnedLinear:
        """The same with an ordinary dense linear inside: inputs are rotated, and rounded, at run time."""
        return TurnedLinear(self.linear.materialize(dtype), self.rotation, self.activations, self.outputs)
