"""Answers written many at once, one by one, and the bare model's steps: seconds, ratios, and where greedy texts part.

    OMP_NUM_THREADS=2 python benchmarks/answers.py [--quick] [--languages en,ko] [--questions 6] [--tokens 64]

The first turn of bundled questions. *Bare* is the same batch through the model's body and the same head on the last
position as often, with nothing chosen, stopped or decoded. Where two texts part, the row says how far apart the two
likeliest tokens' logits were there when written alone: 0 or the last bit of the dtype is a numeric tie. `--quick`
takes 3 questions and 16 tokens. Seconds are of the wall and of the processor: on a busy machine, go by the second.
Threads are torch's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled:gemma-3-270m", help="any model, or an artifact's folder")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--languages", default="en,ko")
    parser.add_argument("--questions", type=int, default=6, help="in each language")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.questions, args.tokens = 3, 16
    lm = language_model(args.model, args.dtype)
    requests = [
        request
        for language in args.languages.split(",")
        for request in prompts(lm, language, args.questions, args.tokens)
    ]
    lm.head()
    ids(lm, requests[:1], 1)
    together, batched = timed(lambda: ids(lm, requests, len(requests)))
    steps = max(map(len, together))
    _, bare = timed(lambda: run(lm, requests, steps))
    alone, single = timed(lambda: ids(lm, requests, 1))
    new, also = sum(map(len, alone)), sum(map(len, together))
    dtypes = lm.dtypes()
    print(
        f"{len(requests)} questions in {args.languages}, {new} new tokens, body {dtypes['body']}, head {dtypes['head']}"
    )
    print("               wall s   processor s   ms a step (processor)   new tokens a second (processor)")
    for name, seconds, count, tokens in (
        ("one by one", single, new, new),
        ("batched", batched, steps, also),
        ("bare, batched", bare, steps, also),
    ):
        wall, own = seconds
        print(f"{name:<13}  {wall:6.1f}  {own:12.1f}  {own / count * 1000:22.0f}  {tokens / own:32.1f}")
    for name, which in (("wall", 0), ("processor", 1)):
        ratio = single[which] / new * also / batched[which]
        print(
            f"batched beside one by one, {name}: {ratio:.2f}; bare beside batched: {bare[which] / batched[which]:.2f}"
        )
    print(f"same texts: {sum(a == b for a, b in zip(alone, together, strict=True))} of {len(alone)}")
    for place, (a, b) in enumerate(zip(alone, together, strict=True)):
        if a != b:
            step = next(i for i, (x, y) in enumerate(zip([*a, -1], [*b, -1], strict=False)) if x != y)
            print(
                f"  prompt {place + 1}: parts at token {step + 1}, {gap(lm, requests[place].ids, a[:step]):.3g} apart"
            )


def timed(work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """What it gives, and its wall and processor seconds."""
    began, processor = time.perf_counter(), time.process_time()
    found = work()
    return found, (time.perf_counter() - began, time.process_time() - processor)


def language_model(name: str, dtype: str) -> Any:
    from transformers import AutoTokenizer

    from harness.languagemodel import LanguageModel
    from harness.models import choose_dtype, default_cache, resolve
    from methods.artifact import load

    if (Path(name) / "manifest.json").is_file():
        return LanguageModel(load(Path(name), choose_dtype(dtype, "cpu"), "cpu"), AutoTokenizer.from_pretrained(name))
    source = resolve(name, default_cache(), dtype, "cpu").source
    return LanguageModel(source.model(), source.tokenizer())


def prompts(lm: Any, language: str, count: int, tokens: int) -> list[Any]:
    from harness.generation import Request
    from harness.prompting import template_of
    from harness.questions import asked

    template = template_of(lm, "auto", language)
    questions = asked("bundled", language, count)
    return [Request(tuple(template.encode([q.turns[0]])), tokens, template.ending) for q in questions]


def ids(lm: Any, requests: Sequence[Any], rows: int) -> list[list[int]]:
    """The new tokens of each request, written ``rows`` at once."""
    from harness import generation

    found: dict[int, list[int]] = {}
    real = generation._result

    def kept(lm: Any, row: Any) -> Any:
        found[row.place] = row.made
        return real(lm, row)

    generation._result = kept
    try:
        generation.write(lm, requests, lambda place, written: None, most_rows=rows)
        return [found[place] for place in range(len(requests))]
    finally:
        generation._result = real


def run(lm: Any, requests: Sequence[Any], steps: int) -> None:
    """Body and head on all prompts together, and on ``steps`` - 1 further tokens.

    Not the model's own forward: its ``logits_to_keep`` slices (B, T, H), for which torch copies the head B times.
    """
    import torch
    from transformers import DynamicCache

    from harness.languagemodel import logits

    width = max(len(request.ids) for request in requests)
    row = torch.tensor([[*[0] * (width - len(request.ids)), *request.ids] for request in requests])
    mask = torch.tensor([[*[0] * (width - len(r.ids)), *[1] * len(r.ids)] for r in requests])
    positions, cache = (mask.cumsum(1) - 1).clamp(min=0), DynamicCache(config=lm.model.config)
    with torch.inference_mode():
        for _ in range(steps):
            found = lm.model.base_model(
                input_ids=row, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
            )
            logits(found.last_hidden_state[:, -1], lm.head())
            row, positions = row[:, -1:], positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(requests), 1)], 1)


def gap(lm: Any, prompt: Sequence[int], made: Sequence[int]) -> float:
    """How far apart the two largest logits are after a prompt and what was written on it."""
    import torch

    with torch.inference_mode():
        row = torch.tensor([[*prompt, *made]])
        largest = lm.model(row, use_cache=False, logits_to_keep=1).logits[0, -1].float().topk(2).values
    return float(largest[0] - largest[1])


if __name__ == "__main__":
    main()
