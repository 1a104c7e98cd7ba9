"""bitsandbytes' own NF4, double-quantized NF4, FP4 and LLM.int8, made and stored by it through transformers."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from methods._shards import Shards, require_finite
from methods.artifact import Writer
from methods.base import Calibration, Compressed, Compressor, MissingLibrary, Progress, Source, silent

FORMATS = ("nf4", "nf4_double", "fp4", "int8")


@dataclass(frozen=True)
class BitsAndBytes(Compressor):
    """Quantizes with bitsandbytes; evaluation reads the reloaded checkpoint, dequantized by that library."""

    format: str = "nf4"
    """'nf4', 'nf4_double' (its scales quantized again), 'fp4' or 'int8'."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format={self.format!r}: allowed are {', '.join(FORMATS)}.")

    def compress(
        self, source: Source, calibration: Calibration | None, folder: Path, progress: Progress = silent
    ) -> Compressed:
        require_library()
        shards = Shards(source.folder)
        for name in shards.names():
            require_finite(name, shards[name])
        writer = Writer(folder, source, "ref_bitsandbytes", asdict(self), self.code, format="transformers")
        model = self._quantized(source, shards.dtype)
        linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
        for done, (name, module) in enumerate(linears.items(), start=1):
            if _is_quantized(module):
                size = {"in_features": module.in_features, "out_features": module.out_features}
                writer.layer(name, {"kind": "bitsandbytes", "format": self.format, **size})
            elif not (name == "lm_head" and shards.tied):
                writer.untouched(name, "bitsandbytes leaves the head as it is")
            progress("recording layers", done, len(linears))
        # Saved before any forward: one on the CPU repacks 4-bit weights, which then reload wrong without an error.
        model.save_pretrained(writer.checkpoint)
        source.tokenizer().save_pretrained(writer.checkpoint)
        return writer.finish()

    def _quantized(self, source: Source, dtype: str) -> Any:
        from transformers import AutoModelForCausalLM, BitsAndBytesConfig

        kept = getattr(torch, dtype)
        if self.format == "int8":
            config = BitsAndBytesConfig(load_in_8bit=True)
        else:
            config = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type=self.format.removesuffix("_double"),
                bnb_4bit_use_double_quant=self.format == "nf4_double",
                bnb_4bit_compute_dtype=kept,
            )
        auto: Any = AutoModelForCausalLM
        options = {"dtype": kept, "device_map": {"": source.device}}
        return auto.from_pretrained(source.folder, quantization_config=config, **options)


def require_library() -> None:
    """MissingLibrary with the command that installs bitsandbytes."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingLibrary(
            "Method ref_bitsandbytes needs the library bitsandbytes, which is not installed. "
            "Install it with: pip install 'langgap[bitsandbytes]'"
        )
    logging.getLogger("bitsandbytes").setLevel(logging.WARNING)
    logging.getLogger("bitsandbytes.backends.cpu").setLevel(logging.ERROR)  # it asks for kernels of the hub


def dequantized(module: nn.Module) -> Tensor:
    """The weight ``(out, in)`` of a bitsandbytes layer that has seen no forward, by the library's own function."""
    from bitsandbytes import functional

    weight: Any = module.weight
    if type(weight).__name__ == "Params4bit":
        return functional.dequantize_4bit(weight.data, weight.quant_state)
    return functional.int8_vectorwise_dequant(weight.data, weight.SCB)


def plain_tensors(model: Any) -> dict[str, Tensor]:
    """Full name -> tensor of a model just loaded, its bitsandbytes layers dequantized."""
    require_library()
    tensors = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return tensors | {
        f"{name}.weight": dequantized(module) for name, module in model.named_modules() if _is_quantized(module)
    }


def _is_quantized(module: nn.Module) -> bool:
    return type(module).__name__ in ("Linear4bit", "Linear8bitLt")
