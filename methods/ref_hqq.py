"""HQQ's own half-quadratic quantization, in a process of its own.

Source: mobiusml/hqq 0.2.8; Badri and Shaji 2023. Reads no data: scales and zeros are optimized against the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from methods._reference import Reference, load_model, save_packed

if TYPE_CHECKING:
    from methods._worker_child import Job


@dataclass(frozen=True)
class Hqq(Reference):
    """Quantizes each linear by HQQ; its packed weights, scales and zeros are kept as safetensors and read back."""

    allowed: ClassVar[Mapping[str, tuple[Any, ...]]] = {"bits": (2, 3, 4, 8)}
    by_row: ClassVar[bool] = False

    bits: int = 4
    """Bits per weight: 2, 3, 4 or 8."""
    granularity: str = "group:64"
    """What shares one scale: 'group:SIZE' neighbouring input channels."""

    def quantize(self, job: Job) -> None:
        """In the worker."""
        import torch
        from hqq.core.quantize import Quantizer

        model, group = load_model(job), self.group
        packed: dict[str, dict[str, Any]] = {}
        options = {"nbits": self.bits, "group_size": group, "axis": 1, "compute_dtype": torch.float16}
        with job:
            for name, module in model.named_modules():
                if isinstance(module, torch.nn.Linear) and name not in ("lm_head", *job.ignore):
                    codes, meta = Quantizer.quantize(module.weight.data, device=job.device, **options)
                    # As its own layers do it once a model is loaded: in the type they compute in.
                    meta |= {part: meta[part].to(torch.float16) for part in ("scale", "zero")}
                    packed[name] = {"W_q": codes, "scale": meta["scale"], "zero": meta["zero"]}
                    if len(packed) == 1:
                        job.check({name: Quantizer.dequantize(codes, meta)})
                        packing = meta["packing"]
        config = {"quant_method": "hqq", "bits": self.bits, "group_size": group, "axis": 1, "packing": packing}
        save_packed(job, model, packed, config)
