"""AutoAWQ's own AWQ, in a process of its own, patched to search on a CPU.

Source: casper-hansen/AutoAWQ 0.2.9, the last release of a retired project. Before it tries scales it puts a module's
weights aside with ``.cpu()``, which on a CPU is no copy: each scale that it tries would stay multiplied into them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from methods._reference import Reference
from methods.base import UnsupportedModel

if TYPE_CHECKING:
    from methods._worker_child import Job


@dataclass(frozen=True)
class AutoAwq(Reference):
    """Runs AutoAWQ on the sweep's calibration tokens, patched where there is no GPU; reads its checkpoint back."""

    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    by_row: ClassVar[bool] = False

    granularity: str = "group:128"
    """What shares one scale: 'group:SIZE' neighbouring input channels."""
    weight_scaling: bool = True
    """Whether scales also look at the weights' own sizes ('duo_scaling', its default; the paper's is false)."""

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
        config |= {"zero_point": True, "q_group_size": self.group, "w_bit": 4, "version": "GEMM"}
        if job.device == "cpu":
            put_aside_copies()
            job.note("patched for CPU", "the weights that it puts aside while it tries scales are copied")
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
        job.note("dtype", "its search computes in float16")


def put_aside_copies() -> None:
    """Make AutoAWQ's search start every scale from the original weights, on a CPU too."""
    from awq.quantize.quantizer import AwqQuantizer

    search = AwqQuantizer._compute_best_scale

    def with_copies(self: Any, x: Any, w_mean: Any, x_mean: Any, module2inspect: Any, *others: Any) -> Any:
        plain = module2inspect.state_dict
        module2inspect.state_dict = lambda: {name: tensor.clone() for name, tensor in plain().items()}
        try:
            return search(self, x, w_mean, x_mean, module2inspect, *others)
        finally:
            del module2inspect.state_dict

    AwqQuantizer._compute_best_scale = with_copies
