"""An artifact as a plain transformers folder that any program loads, with a model card."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError

from methods._factored import LowRankLinear
from methods._files import cannot_store, copy_companions, write_text
from methods._footprint import Footprint, weigh
from methods._load import load
from methods._manifest import CHECKPOINT, Manifest, read_manifest
from methods._rotated import TurnedLinear
from methods._stored import dtype_name

CARD = """---
library_name: transformers
pipeline_tag: text-generation
tags:
- langgap
- compressed
- {method}
{base_model}---

# {title}

**These weights are dequantized.** They hold the values of a compressed model, written out as ordinary {dtype} tensors,
so that any program can load and examine it: this folder is *not* smaller than the original. The compressed model
itself takes {after} MB ({bits}); the original takes {before} MB.

| | |
| --- | --- |
| Method | `{method}` |
| Parameters | `{params}` |
| Original | {base} (digest `{base_digest}`) |
| Calibration | {calibration} |
| Stored size before | {before} MB |
| Stored size after | {after} MB |
| Size of this folder's tensors | {here} MB |
| Artifact digest | `{digest}` |

{untouched}

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("path/to/this/folder", dtype="{dtype}")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
```

MB are decimal; a tied head is counted once. The licence is that of the original model.
"""


def export(folder: Path, out: Path, dtype: torch.dtype | str = "float32", base: str = "") -> Path:
    """Write the artifact's values as a transformers folder with ``README.md``; returns ``out``.

    In float32 the logits equal those of ``artifact.load``, but for rounding where low-rank factors are multiplied out
    (a plain checkpoint has one weight per linear). In a shorter type, tensors that the artifact keeps in
    float32 (folded norms) are rounded too, because a plain checkpoint has one type. ``base`` names the original
    for the card, such as ``google/gemma-3-270m``. Raises ValueError when ``out`` holds files already, and for linears
    that gained a bias which a plain checkpoint of this architecture has no place for.
    """
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty. Name a new folder to export to, or empty this one first.")
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    manifest = read_manifest(folder)
    if gained := [name for name, spec in manifest.layers.items() if spec.get("shift") and not spec["bias"]]:
        raise ValueError(
            f"{folder} cannot be exported as a plain folder: {len(gained)} linears, {gained[0]} first, gained a bias "
            "that this architecture has no place for. Compress with centred = false to export."
        )
    model = load(folder, dtype)
    for name, module in list(model.named_modules()):
        if isinstance(module, LowRankLinear | TurnedLinear):
            model.set_submodule(name, module.expanded())
    model.to(dtype)  # type: ignore[arg-type]
    size = sum(parameter.nbytes for parameter in model.parameters())
    try:
        out.mkdir(parents=True, exist_ok=True)
        # Companions first: save_pretrained then writes the config that fits what is saved, without quantization.
        copy_companions(folder / CHECKPOINT if manifest.format == "transformers" else folder, out)
        for ours in ("manifest.json", "recipe.json"):
            (out / ours).unlink(missing_ok=True)
        model.save_pretrained(out)
    except (OSError, SafetensorError) as error:
        raise cannot_store(out, size, error) from error
    card = model_card(manifest, weigh(folder), dtype_name(dtype), size, base)
    write_text(out / "README.md", card)
    return out


def model_card(manifest: Manifest, footprint: Footprint, dtype: str, size: int, base: str = "") -> str:
    """The text of ``README.md``. ``size``: bytes of the exported tensors."""
    bits = footprint.bits_per_weight
    params = ", ".join(f"{name}={json.dumps(value)}" for name, value in manifest.params.items())
    kept = "\n".join(f"- `{name}`: {reason}" for name, reason in manifest.untouched.items())
    label = f"{manifest.calibration_label or 'tokens'} (fingerprint `{manifest.calibration}`)"
    return CARD.format(
        title=f"{base or 'A model'} after {manifest.method}",
        method=manifest.method,
        base_model=f"base_model: {json.dumps(base)}\n" if "/" in base else "",
        dtype=dtype,
        params=params or "none",
        base=base or "not named",
        base_digest=manifest.base,
        calibration=label if manifest.calibration else "none",
        before=f"{footprint.base_bytes / 1e6:,.1f}",
        after=f"{footprint.total / 1e6:,.1f}",
        here=f"{size / 1e6:,.1f}",
        bits="no layer compressed" if bits is None else f"{bits:.3f} bits per compressed weight, side tensors counted",
        digest=manifest.digest,
        untouched=f"Left as they were:\n\n{kept}" if kept else "No layer was left out.",
    )
