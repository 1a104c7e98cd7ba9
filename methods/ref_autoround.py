"""AutoRound's own signed-gradient rounding, in a process of its own.

Source: intel/auto-round 0.15; Cheng et al., arXiv 2309.05516. Its checkpoint is packed as GPTQ's are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from methods._reference import Reference, load_model

if TYPE_CHECKING:
    from methods._worker_child import Job


@dataclass(frozen=True)
class AutoRound(Reference):
    """Learns how each weight is rounded on the sweep's calibration tokens; reads AutoRound's checkpoint back."""

    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    allowed: ClassVar[Mapping[str, tuple[Any, ...]]] = {"bits": (2, 4, 8)}

    bits: int = 4
    """Bits per weight: 2, 4 or 8."""
    granularity: str = "group:128"
    """What shares one scale: 'group:SIZE' neighbouring input channels, or 'row'."""
    symmetric: bool = False
    """Whether the grid is centred on zero."""
    steps: int = 200
    """Steps of signed gradient for each block."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 0:
            raise ValueError(f"steps={self.steps!r}: allowed are 0 (plain rounding) and more.")

    def quantize(self, job: Job) -> None:
        """In the worker."""
        from auto_round import AutoRound as Library
        from torch.utils.data import DataLoader
        from transformers import AutoTokenizer

        tokens = job.tokens()
        rows: Any = [{"input_ids": row} for row in tokens]
        options: dict[str, Any] = {"bits": self.bits, "group_size": self.group or -1}
        options |= {"sym": self.symmetric, "iters": self.steps, "nsamples": len(tokens), "seqlen": tokens.shape[1]}
        left = {name: {"bits": 16} for name in job.ignore}
        library = Library(
            load_model(job),
            AutoTokenizer.from_pretrained(job.model),
            dataset=DataLoader(rows, batch_size=min(8, len(tokens)), shuffle=False),
            layer_config=left,
            device_map=job.device,
            enable_torch_compile=False,
            seed=0,
            **options,
        )
        with job:
            library.quantize_and_save(str(job.checkpoint), format="auto_gptq")
        for path in job.checkpoint.glob("*/*"):  # it makes a folder in the folder, named after what it did
            path.rename(job.checkpoint / path.name)
