"""AutoAWQ's own AWQ, in a process of its own.

Source: casper-hansen/AutoAWQ 0.2.9, the last release of a retired project.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from methods._reference import compress, group_size, require_choice
from methods.base import Calibration, Compressed, Compressor, Progress, Source, UnsupportedModel, silent

if TYPE_CHECKING:
    from methods._worker_child import Job


@dataclass(frozen=True)
class AutoAwq(Compressor):
    """Runs AutoAWQ on the sweep's calibration tokens; reads its checkpoint back."""

    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})

    granularity: str = "group:128"
    """What shares one scale: 'group:SIZE' neighbouring input channels."""
    weight_scaling: bool = True
    """Whether scales also look at the weights' own sizes ('duo_scaling', its default; the paper's is false)."""

    def __post_init__(self) -> None:
        if group_size(self.granularity) is None:
            raise ValueError(f"granularity={self.granularity!r}: allowed is 'group:SIZE', such as 'group:128'.")
        require_choice("weight_scaling", int(self.weight_scaling), (0, 1))

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        return compress(self, source, calibration, folder, progress, group_size(self.granularity))

    def quantize(self, job: Job) -> None:
        """In the worker."""
        import torch
        from awq import AutoAWQForCausalLM
        from transformers import AutoTokenizer

        tokens = job.tokens()
        try:
            model = AutoAWQForCausalLM.from_pretrained(
                str(job.model), device_map=job.device, safetensors=True, torch_dtype=torch.float16
            )
        except TypeError as error:
            raise UnsupportedModel(f"AutoAWQ 0.2.9 does not know this architecture ({error}).") from None
        left = sorted({name.partition("layers.")[2].partition(".")[2] for name in job.ignore})  # names within a block
        config: dict[str, Any] = {"modules_to_not_convert": left or None}
        config |= {"zero_point": True, "q_group_size": group_size(self.granularity), "w_bit": 4, "version": "GEMM"}
        with job:
            model.quantize(
                AutoTokenizer.from_pretrained(job.model),
                quant_config=config,
                calib_data=tokens.tolist(),
                max_calib_samples=len(tokens),
                max_calib_seq_len=tokens.shape[1],
                duo_scaling=self.weight_scaling,
            )
        model.save_quantized(str(job.checkpoint), safetensors=True)
        job.note("calibration", f"all {tokens.numel():,} calibration tokens, {len(tokens)} sequences, none dropped")
        job.note("dtype", "its search computes in float16")
        if job.device == "cpu":
            job.note(
                "on a CPU",
                "its copy of the weights is no copy there, so that later scales are tried on weights already rounded",
            )
