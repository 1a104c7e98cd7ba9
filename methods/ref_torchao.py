"""torchao's own weight-only quantization, in a process of its own.

Source: pytorch/ao 0.18. Reads no data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from methods._reference import Reference, load_model, save_packed

if TYPE_CHECKING:
    from methods._worker_child import Job


@dataclass(frozen=True)
class TorchAo(Reference):
    """Quantizes each linear by torchao's integer weight-only configuration; its tensors are kept and read back."""

    allowed: ClassVar[Mapping[str, tuple[Any, ...]]] = {"bits": (2, 3, 4, 8)}

    bits: int = 4
    """Bits per weight: 2, 3, 4 or 8. Below 8 torchao's CPU format still stores a byte for each weight."""
    granularity: str = "group:128"
    """What shares one scale: 'group:SIZE' neighbouring input channels, or 'row'."""
    symmetric: bool = False
    """Whether the grid is centred on zero."""

    def quantize(self, job: Job) -> None:
        """In the worker."""
        import torch
        from torchao.quantization import IntxWeightOnlyConfig, PerAxis, PerGroup, quantize_
        from torchao.quantization.quant_primitives import MappingType

        model, group = load_model(job), self.group
        chosen = {
            name: module
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and name not in ("lm_head", *job.ignore)
        }
        config = IntxWeightOnlyConfig(
            weight_dtype=getattr(torch, f"int{self.bits}"),
            granularity=PerGroup(group) if group else PerAxis(0),
            mapping_type=MappingType.SYMMETRIC if self.symmetric else MappingType.ASYMMETRIC,
        )
        with job:
            quantize_(model, config, filter_fn=lambda module, name: name in chosen)
        packed: dict[str, dict[str, Any]] = {}
        for name, module in chosen.items():
            weight: Any = module.weight
            packed[name] = {"weight_qdata": weight.qdata, "weight_scale": weight.scale}
            if not self.symmetric:
                packed[name]["weight_zero_point"] = weight.zero_point
        name = next(iter(chosen))
        job.check({name: chosen[name].weight.dequantize()})  # type: ignore[operator]
        save_packed(job, model, packed, {"quant_method": "torchao", "bits": self.bits, "group_size": group})
