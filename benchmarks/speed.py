"""Factorised models beside the dense one: time of prefill and decode, and the operations that should explain it.

    python benchmarks/speed.py [--model M] [--keep 0.9,0.8,0.7] [--scope all_linear] [--quick]

M is whatever `langgap sweep --model` takes (default: the bundled model). Models take turns, repetition by repetition,
so that a machine that slows down slows all of them; a ratio is the median over repetitions of dense time over
factorised time in the same turn, between its smallest and largest. Beside it: dense operations over factorised ones,
for the tokens of that phase. ``--quick``: two random decoder blocks with the shapes of Qwen3 0.6B's, one budget.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

PHASES = ("prefill", "decode")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled:gemma-3-270m")
    parser.add_argument("--keep", default="0.9,0.8,0.7")
    parser.add_argument("--scope", default="all_linear", choices=("attention", "all_linear"))
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=16)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.keep, args.repetitions, args.new_tokens = "0.7", 5, 8
    import torch

    with tempfile.TemporaryDirectory() as place:
        folders = artifacts(args, Path(place))
        print(
            f"{args.dtype} on {args.device}, {torch.get_num_threads()} threads, {args.prompt} tokens read, "
            f"{args.new_tokens} made, {args.repetitions} repetitions; dense over factorised",
            flush=True,
        )
        print(f"{'keep':6} {'phase':8} {'seconds':>9} {'time ratio':>24} {'operations':>11}")
        for line in compared(folders, args):
            print(line, flush=True)


def artifacts(args: argparse.Namespace, place: Path) -> dict[str, Path]:
    """``dense``, and each budget, as folders."""
    from methods import load

    source = random_source(place / "model") if args.quick else resolved(args)
    svd: Any = load("svd")
    makers: dict[str, Any] = {"dense": load("none")()}
    makers |= {keep: svd(keep=float(keep), scope=args.scope) for keep in args.keep.split(",")}
    return {name: maker.compress(source, None, place / name).folder for name, maker in makers.items()}


def resolved(args: argparse.Namespace) -> Any:
    from harness.models import default_cache, resolve

    return resolve(args.model, default_cache(), args.dtype, args.device).source


def random_source(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from methods.base import Source

    config = LlamaConfig(
        vocab_size=512,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=2,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return Source(folder, "random")


def compared(folders: dict[str, Path], args: argparse.Namespace) -> list[str]:
    import torch

    from harness.speed import once
    from methods.artifact import load

    models = {name: load(folder, args.dtype, args.device) for name, folder in folders.items()}
    vocabulary = models["dense"].config.get_text_config().vocab_size
    ids = torch.randint(vocabulary, (1, args.prompt), generator=torch.Generator().manual_seed(0)).to(args.device)
    turns = [
        {name: once(model, ids, args.new_tokens) for name, model in models.items()} for _ in range(1 + args.repetitions)
    ][1:]
    lines = []
    for name, folder in folders.items():
        for phase in PHASES:
            ratios = [getattr(turn["dense"], phase) / getattr(turn[name], phase) for turn in turns]
            seconds = median(getattr(turn[name], phase) for turn in turns)
            said = f"{median(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}]"
            operations = expected(folders["dense"], folder, phase, args)
            lines.append(f"{name:6} {phase:8} {seconds:9.3f} {said:>24} {operations:11.3f}")
    return lines


def expected(dense: Path, other: Path, phase: str, args: argparse.Namespace) -> float:
    """Dense over factorised: operations of the phase."""
    from methods.artifact import cost

    middle = args.prompt // 2 if phase == "prefill" else args.prompt + args.new_tokens // 2
    found = [cost(folder, middle) for folder in (dense, other)]
    left_out = {"head"} if phase == "prefill" else set()  # the head is applied to one position of the prompt
    whole, less = (sum(value for part, value in each.flops.items() if part not in left_out) for each in found)
    return whole / less


if __name__ == "__main__":
    main()
