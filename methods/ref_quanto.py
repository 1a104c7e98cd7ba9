"""optimum-quanto's own weight quantization, in a process of its own.

Source: huggingface/optimum-quanto 0.2.7. Reads no data.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from methods._reference import Reference, load_model, save_packed

if TYPE_CHECKING:
    from methods._worker_child import Job


@dataclass(frozen=True)
class Quanto(Reference):
    """Quantizes each linear by quanto; its packed weights, scales and shifts are kept as safetensors and read back."""

    allowed: ClassVar[Mapping[str, tuple[Any, ...]]] = {"format": ("int8", "int4", "int2", "float8")}

    format: str = "int4"
    """'int8', 'int4', 'int2' or 'float8'."""

    def quantize(self, job: Job) -> None:
        """In the worker."""
        from types import SimpleNamespace

        import torch
        from optimum import quanto
        from optimum.quanto.library.extensions import cpp

        # It would compile a function for this into its own folder, where a compiler that is stopped leaves a lock that
        # every later run waits for.
        cpp.ext._lib = SimpleNamespace(
            unpack=lambda t, bits: torch.cat([(t >> low) & (2**bits - 1) for low in range(0, 8, bits)])
        )
        model = load_model(job)
        with job:
            quanto.quantize(model, weights=getattr(quanto, f"q{self.format}"), exclude=["lm_head", *job.ignore])
            quanto.freeze(model)
        packed: dict[str, dict[str, Any]] = {}
        for name, module in model.named_modules():
            if type(module).__name__ == "QLinear":
                weight = module.weight
                packed[name] = _parts(weight)
                if len(packed) == 1:
                    job.check({name: weight.dequantize()})
        config = {"quant_method": "quanto", "weights": self.format}
        save_packed(job, model, packed, config)


def _parts(weight: Any) -> dict[str, Any]:
    """A quantized weight's tensors by the names they have in quanto's state dict."""
    with suppress(AttributeError, NotImplementedError):  # only what lies in the order of a kernel has another
        weight = weight.weight_qbits_tensor()
    data = weight._data
    found = {"weight._data": data} if type(data).__name__ == "Tensor" else {"weight._data._data": data._data}
    shift = getattr(weight, "_shift", None)
    return found | {"weight._scale": weight._scale} | ({} if shift is None else {"weight._shift": shift})
