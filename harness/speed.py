"""What a token costs: operations and bytes by part, counted; and tokens per second and memory, measured.

A prompt is read at once (*prefill*), then tokens are made one by one (*decode*) with a cache of keys and values. Only
what computes in the form it is stored in is timed: layers left as they were, two factors in 16 bits, bitsandbytes' own.
All other layers are dequantized on loading, so that a timing of them would be one of the original: they are not timed,
and the record says so.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from methods.base import Progress, UnsupportedModel, silent
from results.cell import Scalar
from results.estimate import Estimate, Measurement

if TYPE_CHECKING:
    import torch

    from harness.languagemodel import LanguageModel

NAME = "speed"
VERSION = 1
SUMMARY = "operations and bytes per token, counted; prefill and decode tokens per second and peak memory, measured"
RUNS_MODEL = True
FIELDS = {
    "batch": (1, "sequences at once"),
    "prompt": (128, "tokens of each prompt"),
    "new_tokens": (32, "tokens made after each prompt"),
    "repetitions": (7, "how often it is timed, after one time that is not counted"),
}
METRICS = (
    "prefill_tokens_per_second",
    "decode_tokens_per_second",
    "peak_memory",
    "flops_per_token",
    "projection_flops",
    "attention_flops",
    "mlp_flops",
    "head_flops",
    "bytes_per_token",
    "projection_traffic",
    "attention_traffic",
    "mlp_traffic",
    "head_traffic",
)


def mistakes(params: Mapping[str, Scalar]) -> list[str]:
    """What is wrong with parameters of the right types: sentences for a user."""
    return [f"{name} is {params[name]}, but must be 1 or more." for name in FIELDS if int(params[name] or 0) < 1]


def measure(folder: Path, lm: LanguageModel, params: Mapping[str, Scalar], progress: Progress = silent) -> Measurement:
    """Count, and time where that is honest, the artifact in ``folder``, which ``lm`` is loaded from.

    The counted figures are of a token at the end of the prompt. A speed is the median of the repetitions with the
    distribution-free interval from the smallest to the largest. Notes tell under what it was measured, or why not
    (``not_timed``); ``not_counted`` that an architecture is unknown. Raises ValueError for a prompt too long for it.
    """
    shape = Shape(*(int(params[name]) for name in FIELDS))  # type: ignore[arg-type]
    if (length := shape.prompt + shape.new_tokens) > lm.window:
        raise ValueError(
            f"prompt={shape.prompt} and new_tokens={shape.new_tokens} are {length:,} tokens, and the model reads "
            f"{lm.window:,} at most; ask for fewer."
        )
    estimates, notes = _counted(folder, lm, shape)
    kinds = stored_kinds(folder)
    if reason := no_kernel(kinds):
        return Measurement((), estimates, notes | {"not_timed": f"skipped: {reason}"})
    model = lm.model if "bitsandbytes" not in kinds else _native(folder, lm)
    is_watched = model is lm.model and forget_peak(lm.device)
    timings = repeat(model, shape, lm.device, progress)
    if is_watched:
        estimates["peak_memory"] = Estimate(float(peak_bytes(lm.device)))
    sizes = {"prefill": shape.batch * shape.prompt, "decode": shape.batch * shape.new_tokens}
    for phase, tokens in sizes.items():
        rates = [tokens / getattr(timing, phase) for timing in timings]
        estimates[f"{phase}_tokens_per_second"] = median(rates)
    return Measurement((), estimates, notes | _conditions(lm, shape) | _about_memory(lm, model))


class Shape(NamedTuple):
    """What is timed."""

    batch: int
    prompt: int
    new_tokens: int
    repetitions: int


class Timing(NamedTuple):
    """Seconds."""

    prefill: float
    decode: float


def stored_kinds(folder: Path) -> Counter[str]:
    """Kind -> layers of an artifact; factors that are packed on a grid have a kind of their own here."""
    from methods.artifact import read_manifest

    return Counter(
        "packed factors" if any("bits" in (spec.get(name) or {}) for name in ("first", "second")) else spec["kind"]
        for spec in read_manifest(folder).layers.values()
    )


def no_kernel(kinds: Mapping[str, int]) -> str | None:
    """Why a model with so many layers of these kinds is not timed; None where all compute as they are stored."""
    without = {kind: count for kind, count in kinds.items() if kind not in ("factored", "bitsandbytes")}
    if not without:
        return None
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(without.items()))
    return (
        f"there is no kernel here that computes with layers as they are stored ({counted}); they are dequantized on "
        "loading and run as fast as the original's"
    )


def repeat(model: Any, shape: Shape, device: str, progress: Progress = silent) -> list[Timing]:
    """Time prefill and decode ``shape.repetitions`` times, after once to warm up."""
    import torch

    vocabulary = model.config.get_text_config().vocab_size
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(vocabulary, (shape.batch, shape.prompt), generator=generator).to(device)
    found = []
    for done in range(1 + shape.repetitions):
        found.append(once(model, ids, shape.new_tokens))
        progress("timing", done, shape.repetitions)
    return found[1:]


def once(model: Any, ids: torch.Tensor, new_tokens: int) -> Timing:
    """Read ``ids (B, T)``, then make ``new_tokens`` of each row, the likeliest ones, whatever they are."""
    import torch

    def now() -> float:
        if ids.is_cuda:
            torch.cuda.synchronize(ids.device)
        return time.perf_counter()

    with torch.inference_mode():
        began = now()
        found = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        token = found.logits[:, -1:].argmax(-1)
        read = now()
        for _ in range(new_tokens):
            found = model(input_ids=token, past_key_values=found.past_key_values, use_cache=True)
            token = found.logits[:, -1:].argmax(-1)
        ended = now()
    return Timing(read - began, ended - read)


def median(values: list[float]) -> Estimate:
    """The median, from the smallest to the largest: those hold the true one with probability 1 - 2^(1 - n)."""
    from statistics import median as middle

    n = len(values)
    if n == 1:
        return Estimate(values[0], n=1)
    return Estimate(middle(values), min(values), max(values), 1 - 2.0 ** (1 - n), "exact", n=n)


def _counted(folder: Path, lm: LanguageModel, shape: Shape) -> tuple[dict[str, Estimate], dict[str, str]]:
    """Operations and bytes of a token at the end of the prompt."""
    from methods.artifact import cost

    at = f"of a token at position {shape.prompt}, batch {shape.batch}; matrix products only, weights as stored"
    try:
        found = cost(folder, shape.prompt, shape.batch, lm.model.dtype)
    except UnsupportedModel as error:
        return {}, {"not_counted": str(error)}
    numbers = {"flops_per_token": sum(found.flops.values()), "bytes_per_token": sum(found.bytes.values())}
    numbers |= {f"{part}_flops": value for part, value in found.flops.items()}
    numbers |= {f"{part}_traffic": value for part, value in found.bytes.items()}
    return {name: Estimate(float(value)) for name, value in numbers.items()}, {"counted": at}


def _conditions(lm: LanguageModel, shape: Shape) -> dict[str, str]:
    import torch

    threads = f", {torch.get_num_threads()} threads" if lm.device == "cpu" else ""
    where = torch.cuda.get_device_name(lm.device) if lm.device.startswith("cuda") else "cpu"
    return {
        "timed": f"median of {shape.repetitions} after 1 to warm up; batch {shape.batch}, {shape.prompt} tokens read, "
        f"{shape.new_tokens} made, {lm.dtypes()['body']} on {where}{threads}; eager, with a cache, the head at the "
        "last position"
    }


def _about_memory(lm: LanguageModel, model: Any) -> dict[str, str]:
    if model is not lm.model:
        return {"memory": "peak not measured: the layers of another library are a second copy of the model"}
    if lm.device.startswith("cuda"):
        return {"memory": "peak of what torch allocated on the GPU"}
    return {"memory": "peak of what is resident of the whole process, libraries and tokenizer included (Linux only)"}


def _native(folder: Path, lm: LanguageModel) -> Any:
    """The model with the layers of the library that made them."""
    from methods.artifact import load

    return load(folder, lm.model.dtype, lm.device, materialize=False, verify=False)


def forget_peak(device: str) -> bool:
    """Begin to watch for the most memory used; False where the system does not tell (other than Linux)."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM becomes what is resident now
    except OSError:
        return False
    return True


def peak_bytes(device: str) -> int:
    """Most memory since `forget_peak`: torch's own on CUDA, else what was resident of the process."""
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    lines = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
