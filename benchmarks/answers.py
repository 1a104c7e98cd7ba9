"""Answers written many at once beside one by one: seconds, their ratio, and where the greedy texts part.

    OMP_NUM_THREADS=2 python benchmarks/answers.py [--quick] [--questions 24] [--tokens 64] [--dtype float32]

The first turn of bundled questions in one language. Where two texts part, the row says how far apart the two likeliest
tokens' logits were there when written alone: 0 or the last bit of the dtype is a numeric tie. `--quick` takes 8
questions and 32 tokens. Both sides are warmed up; threads are torch's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled:gemma-3-270m", help="any model, or an artifact's folder")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--language", default="ko")
    parser.add_argument("--questions", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.questions, args.tokens = 8, 32
    lm = language_model(args.model, args.dtype)
    requests, ending = prompts(lm, args.language, args.questions, args.tokens)
    lm.head()
    ids(lm, requests[:2], ending, 2)
    together, batched, batched_cpu = ids(lm, requests, ending, len(requests))
    alone, single, single_cpu = ids(lm, requests, ending, 1)
    new = sum(map(len, alone))
    print(f"{len(requests)} questions in {args.language}, {new} new tokens, {lm.dtypes()['body']}")
    print(f"one by one  {single:7.1f} s  {new / single:7.1f} tokens/s  {single_cpu:7.1f} s of processor time")
    print(f"batched     {batched:7.1f} s  {sum(map(len, together)) / batched:7.1f} tokens/s  {batched_cpu:7.1f} s")
    print(f"ratio       {single / new * sum(map(len, together)) / batched:7.2f}")
    print(f"same texts  {sum(a == b for a, b in zip(alone, together, strict=True))} of {len(alone)}")
    for place, (a, b) in enumerate(zip(alone, together, strict=True)):
        if a != b:
            step = next(i for i, (x, y) in enumerate(zip([*a, -1], [*b, -1], strict=False)) if x != y)
            print(f"  question {place}: parts at token {step + 1}, {gap(lm, requests[place].ids, a[:step]):.3g} apart")


def language_model(name: str, dtype: str) -> Any:
    from transformers import AutoTokenizer

    from harness.languagemodel import LanguageModel
    from harness.models import choose_dtype, default_cache, resolve
    from methods.artifact import load

    if (Path(name) / "manifest.json").is_file():
        return LanguageModel(load(Path(name), choose_dtype(dtype, "cpu"), "cpu"), AutoTokenizer.from_pretrained(name))
    source = resolve(name, default_cache(), dtype, "cpu").source
    return LanguageModel(source.model(), source.tokenizer())


def prompts(lm: Any, language: str, count: int, tokens: int) -> tuple[list[Any], Any]:
    from harness.generation import Request
    from harness.prompting import template_of
    from harness.questions import asked

    template = template_of(lm, "auto", language)
    questions = asked("bundled", language, count)
    return [Request(tuple(template.encode([q.turns[0]])), tokens) for q in questions], template.ending


def ids(lm: Any, requests: Sequence[Any], ending: Any, rows: int) -> tuple[list[list[int]], float, float]:
    """The new tokens of each request, and the wall and processor seconds that all took, ``rows`` at once."""
    from harness import generation

    found: dict[int, list[int]] = {}
    real = generation._result

    def kept(lm: Any, row: Any, ending: Any) -> Any:
        found[row.place] = row.made
        return real(lm, row, ending)

    generation._result = kept
    try:
        began, processor = time.perf_counter(), time.process_time()
        generation.write(lm, requests, ending, lambda place, written: None, most_rows=rows)
        seconds = time.perf_counter() - began, time.process_time() - processor
        return [found[place] for place in range(len(requests))], *seconds
    finally:
        generation._result = real


def gap(lm: Any, prompt: Sequence[int], made: Sequence[int]) -> float:
    """How far apart the two largest logits are after a prompt and what was written on it."""
    import torch

    with torch.inference_mode():
        row = torch.tensor([[*prompt, *made]])
        largest = lm.model(row, use_cache=False, logits_to_keep=1).logits[0, -1].float().topk(2).values
    return float(largest[0] - largest[1])


if __name__ == "__main__":
    main()
