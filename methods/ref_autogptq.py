"""auto-gptq's own GPTQ, in a process and an environment of its own, patched to run on a CPU.

Source: AutoGPTQ/AutoGPTQ 0.7.1, the last release of a retired project.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from methods._reference import Reference
from methods.base import UnsupportedModel

if TYPE_CHECKING:
    from methods._worker_child import Job


@dataclass(frozen=True)
class AutoGptq(Reference):
    """Runs auto-gptq on the sweep's calibration tokens, patched where there is no GPU; reads its checkpoint back."""

    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    allowed: ClassVar[Mapping[str, tuple[Any, ...]]] = {"bits": (2, 3, 4, 8)}

    bits: int = 4
    """Bits per weight: 2, 3, 4 or 8."""
    granularity: str = "group:128"
    """What shares one scale: 'group:SIZE' neighbouring input channels, or 'row'."""
    symmetric: bool = False
    """Whether the grid is centred on zero."""
    act_order: bool = False
    """Whether channels with the largest inputs are rounded first."""

    def quantize(self, job: Job) -> None:
        """In the worker."""
        import torch
        from auto_gptq import BaseQuantizeConfig
        from auto_gptq.modeling import _base
        from auto_gptq.modeling.auto import GPTQ_CAUSAL_LM_MODEL_MAP
        from transformers import AutoModelForCausalLM

        if job.device == "cpu":
            torch.cuda.synchronize = lambda *_: None
            _base.CUDA_0 = torch.device("cpu")
            job.note("patched for CPU", "two places that ask for a GPU were replaced: synchronize, and the device")
        config = _older_config(job)
        kind = config["model_type"]
        if kind not in GPTQ_CAUSAL_LM_MODEL_MAP:
            known = ", ".join(sorted(GPTQ_CAUSAL_LM_MODEL_MAP))
            raise UnsupportedModel(f"auto-gptq 0.7.1 does not know the architecture {kind}; it knows {known}.")
        if job.ignore:
            raise UnsupportedModel(
                f"auto-gptq cannot leave out single linears, and groups do not divide {job.ignore[0]}; "
                "choose another granularity."
            )
        auto: Any = AutoModelForCausalLM
        model = auto.from_pretrained(job.folder / "model", torch_dtype=torch.float32).eval()
        tokens = job.tokens()
        asked = BaseQuantizeConfig(
            bits=self.bits,
            group_size=self.group or -1,
            sym=self.symmetric,
            desc_act=self.act_order,
            true_sequential=True,
        )
        wrapped = GPTQ_CAUSAL_LM_MODEL_MAP[kind](model, False, asked)
        rows = [{"input_ids": row[None], "attention_mask": torch.ones_like(row)[None]} for row in tokens]
        with job:
            wrapped.quantize(rows, batch_size=1, use_triton=False)
        wrapped.save_quantized(str(job.checkpoint), use_safetensors=True)


def _older_config(job: Job) -> dict[str, Any]:
    """The model folder once more, with a config that transformers 4.49 reads rightly: it would take theta 10000."""
    folder = job.folder / "model"
    folder.mkdir()
    for path in job.model.glob("*.safetensors*"):
        (folder / path.name).symlink_to(path.absolute())
    config = json.loads((job.model / "config.json").read_text(encoding="utf-8"))
    rope = config.get("rope_parameters") or {}
    if "rope_theta" in rope:
        config["rope_theta"] = rope["rope_theta"]
        if rope.get("rope_type", "default") != "default":
            config["rope_scaling"] = {key: value for key, value in rope.items() if key != "rope_theta"}
    config["torch_dtype"] = config.get("dtype", "float32")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return config
