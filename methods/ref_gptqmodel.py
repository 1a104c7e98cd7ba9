"""GPTQModel's own GPTQ and AWQ, in a process of its own.

Source: ModelCloud/GPTQModel 7.5, the maintained successor of auto-gptq.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from methods._reference import Reference

if TYPE_CHECKING:
    from methods._worker_child import Job


@dataclass(frozen=True)
class GptqModel(Reference):
    """Runs GPTQModel's GPTQ or AWQ on the sweep's calibration tokens; reads its checkpoint back."""

    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    allowed: ClassVar[Mapping[str, tuple[Any, ...]]] = {"format": ("gptq", "awq"), "bits": (2, 3, 4, 8)}

    format: str = "gptq"
    """'gptq' or 'awq'."""
    bits: int = 4
    """Bits per weight: 2, 3, 4 or 8; awq 4."""
    granularity: str = "group:128"
    """What shares one scale: 'group:SIZE' neighbouring input channels, or 'row'."""
    symmetric: bool = False
    """Whether the grid is centred on zero; awq has it asymmetric."""
    act_order: bool = False
    """Whether gptq rounds channels with the largest inputs first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.format == "awq" and self.bits != 4:
            raise ValueError(f"bits={self.bits!r}: allowed is 4 with format='awq'.")
        if self.format == "awq" and (self.symmetric or self.act_order):
            raise ValueError("format='awq' has no symmetric grid and no act_order: leave both false.")

    def quantize(self, job: Job) -> None:
        """In the worker."""
        os.environ.setdefault("GPTQMODEL_CPU_WORKERS", str(len(os.sched_getaffinity(0))))
        import torch
        from gptqmodel import BACKEND, GPTQModel, QuantizeConfig
        from gptqmodel.quantization import FORMAT, METHOD

        _leave_nested_rope(job)
        dtype, options = job.dtype, self._options(job, FORMAT, METHOD)
        if self.format == "awq" and dtype == "float32":
            dtype = "bfloat16"  # float32 ends its process
            job.note("dtype", "float32 weights were taken as bfloat16: its AWQ knows 16-bit types only")
        tokens = job.tokens()
        model = GPTQModel.load(str(job.model), QuantizeConfig(**options), dtype=getattr(torch, dtype))
        rows = [{"input_ids": row.tolist(), "attention_mask": [1] * len(row)} for row in tokens]
        backend: Any = {"backend": BACKEND.AWQ_TORCH} if self.format == "awq" and job.device == "cpu" else {}
        with job:
            model.quantize(rows, batch_size=1, **backend)
        model.save(str(job.checkpoint))

    def _options(self, job: Job, formats: Any, methods: Any) -> dict[str, Any]:
        options: dict[str, Any] = {"bits": self.bits, "group_size": self.group or -1}
        options |= {"sym": self.symmetric, "desc_act": self.act_order, "device": job.device}
        if self.format == "awq":
            options |= {"quant_method": methods.AWQ, "format": formats.GEMM}
        elif not self.symmetric:
            options["format"] = formats.GPTQ_V2  # the older format cannot hold a zero of 0
        if job.ignore:
            options["dynamic"] = {f"-:^{name.replace('.', '[.]')}$": {} for name in job.ignore}
        return options


def _leave_nested_rope(job: Job) -> None:
    """Its loader adds a rope for all layers to those Gemma 3 has for each kind; transformers refuses that."""
    from gptqmodel.utils import hf

    normalize = hf._normalize_rope_parameters_config_compat

    def only_flat(config: Any) -> None:
        rope = getattr(config, "rope_parameters", None)
        if rope and all(isinstance(part, dict) for part in rope.values()):
            job.note("patched", "its loader is kept from adding one rope to those of each kind of layer")
        else:
            normalize(config)

    hf._normalize_rope_parameters_config_compat = only_flat
