"""llm-compressor's own GPTQ, AWQ, SmoothQuant, SparseGPT and Wanda, in a process of its own.

Source: vllm-project/llm-compressor 0.14; its checkpoints are in compressed-tensors format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from methods._blocks import FAMILIES
from methods._reference import Reference, load_model

if TYPE_CHECKING:
    from methods._worker_child import Job

PATTERNS = {"unstructured": "0:0", "2:4": "2:4", "4:8": "4:8"}


@dataclass(frozen=True)
class LlmCompressor(Reference):
    """Runs one of llm-compressor's recipes on the sweep's calibration tokens; reads its checkpoint back."""

    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    allowed: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "format": ("rtn", "gptq", "awq", "smoothquant_w8a8", "sparsegpt", "wanda"),
        "bits": (4, 8),
        "pattern": tuple(PATTERNS),
    }

    format: str = "gptq"
    """'rtn' (plain rounding), 'gptq', 'awq', 'smoothquant_w8a8', 'sparsegpt' or 'wanda'."""
    bits: int = 4
    """Bits per weight of rtn, gptq and awq: 4 or 8."""
    granularity: str = "group:128"
    """What shares one scale of rtn, gptq and awq: 'group:SIZE' input channels, or 'row'."""
    symmetric: bool = False
    """Whether the grid of rtn, gptq and awq is centred on zero."""
    sparsity: float = 0.5
    """Share of each row's weights that sparsegpt and wanda drop."""
    pattern: str = "unstructured"
    """'unstructured', or '2:4': so many of each run of neighbouring inputs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.sparsity < 1:
            raise ValueError(f"sparsity={self.sparsity!r}: allowed are numbers above 0 and below 1.")

    @property
    def group(self) -> int | None:
        return super().group if self.format in ("rtn", "gptq", "awq") else None

    def quantize(self, job: Job) -> None:
        """In the worker."""
        import torch
        from datasets import Dataset
        from llmcompressor import oneshot
        from llmcompressor.pipelines.cache import IntermediatesCache

        if job.device == "cpu":  # it pins host memory for a device that is not there
            IntermediatesCache._pin_intermediate = lambda self, intermediate: intermediate
        model, tokens = load_model(job), job.tokens()
        norms = _norms(model.config.model_type) if self.format == "smoothquant_w8a8" else None
        data = {"input_ids": tokens.tolist(), "attention_mask": torch.ones_like(tokens).tolist()}
        with job:
            oneshot(
                model=model,
                dataset=Dataset.from_dict(data),
                recipe=self._recipe(job.ignore, norms),
                max_seq_length=tokens.shape[1],
                num_calibration_samples=len(tokens),
                shuffle_calibration_samples=False,
            )
        model.save_pretrained(job.checkpoint, save_compressed=True)
        if self.format == "smoothquant_w8a8":
            job.note("activations", "its 8-bit activations are not in these numbers: only weights are read back")
        if norms:
            job.note("patched", "told which norm each linear reads; its own table is wrong for Gemma 2 and 3")

    def _recipe(self, ignore: list[str], norms: list[tuple[list[str], str]] | None) -> list[Any]:
        from llmcompressor.modifiers.pruning.sparsegpt import SparseGPTModifier
        from llmcompressor.modifiers.pruning.wanda import WandaPruningModifier
        from llmcompressor.modifiers.quantization import GPTQModifier, QuantizationModifier
        from llmcompressor.modifiers.transform.awq import AWQModifier
        from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

        left = ["lm_head", *ignore]
        if self.format == "rtn":
            return [QuantizationModifier(config_groups=self._groups(), ignore=left)]
        if self.format == "gptq":
            return [GPTQModifier(config_groups=self._groups(), ignore=left)]
        if self.format == "awq":
            return [AWQModifier(), QuantizationModifier(config_groups=self._groups(), ignore=left)]
        if self.format == "smoothquant_w8a8":
            return [SmoothQuantModifier(mappings=norms), GPTQModifier(targets="Linear", scheme="W8A8", ignore=left)]
        pruning = SparseGPTModifier if self.format == "sparsegpt" else WandaPruningModifier
        return [pruning(sparsity=self.sparsity, mask_structure=PATTERNS[self.pattern], ignore=["re:.*lm_head"])]

    def _groups(self) -> dict[str, Any]:
        group = self.group
        weights = {"num_bits": self.bits, "type": "int", "symmetric": self.symmetric, "dynamic": False}
        weights |= {"strategy": "group", "group_size": group} if group else {"strategy": "channel"}
        return {"group_0": {"targets": ["Linear"], "weights": weights}}


def _norms(model_type: str) -> list[tuple[list[str], str]] | None:
    """SmoothQuant's pairs (linears, the norm they read) as the table of blocks has them; None: its own.

    Its own takes the norm after attention for the one before the MLP, which destroys Gemma 2 and 3.
    """
    if model_type not in FAMILIES:
        return None
    groups = (group for group in FAMILIES[model_type].groups if group.folds_into_norm)
    return [([f"re:.*{name}$" for name in group.linears], f"re:.*{group.fold}$") for group in groups]
