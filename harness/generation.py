"""Many prompts written on at once by one model: left-padded batches, a KV cache, and the head on the last position.

Why a loop of our own and not transformers' ``generate``: there each draw comes from one generator for the whole batch,
so that an answer depends on its neighbours; every row is carried along until the last one ends; and all rows share one
cap. What needs care is still theirs: the cache, sliding windows among it, and the masks.

Rows of equal length are not padded, others on the left; a padded position is masked out and has no number. Batched and
single rows differ by rounding only, so greedy texts are the same until two tokens are equally likely but for the last
bits. In bfloat16 that is often, for logits of 16 to 32 are an eighth apart: of six prompts to the bundled model two
texts parted within 16 tokens, at gaps of 0 and 0.125. In float32 we have seen none.

Draws are by the inverse of the cumulated distribution, at numbers that a prompt's own seed gives: the same whatever is
asked beside it, and for every variant of a model, whose answers are thereby alike as long as their distributions are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import torch

from harness.languagemodel import LanguageModel, logits
from results.conversation import END, LENGTH

CACHE_BYTES, CUDA_CACHE_BYTES = 1024**3, 8 * 1024**3
"""Of keys and values in one batch."""
MOST_ROWS = 64
TAIL = 16
"""Tokens at the end of an answer in which a stop string is looked for."""


@dataclass(frozen=True)
class Ending:
    """What ends an answer before its cap."""

    ids: frozenset[int]
    strings: tuple[str, ...] = ()
    """An answer is cut before the first of these."""


@dataclass(frozen=True)
class Request:
    """One prompt to write on."""

    ids: tuple[int, ...]
    """Not empty."""
    most: int
    """New tokens at most, 1 or more."""
    ending: Ending
    temperature: float = 0.0
    """0: the most likely token always."""
    seed: int = 0
    """Decides this prompt's draws, where the temperature is not 0."""


@dataclass(frozen=True)
class Written:
    text: str
    stop: str
    """``end`` or ``length``."""
    tokens: int
    """New ones, that which ended it included."""


def write(
    lm: LanguageModel,
    requests: Sequence[Request],
    finished: Callable[[int, Written], None],
    cache_bytes: int | None = None,
    most_rows: int = MOST_ROWS,
    needed: Set[int] | None = None,
) -> None:
    """Write on all prompts; ``finished(place, written)`` is called for each as soon as it ends.

    ``needed``: places that must be written. A batch without any is left out, another is written whole: rounding depends
    on a batch's rows, and what is asked again after an interruption shall be answered as it would have been.

    Raises ValueError if the logits of a prompt are not finite.
    """
    on_gpu = lm.device.startswith("cuda")
    budget = cache_bytes or (CUDA_CACHE_BYTES if on_gpu else CACHE_BYTES)
    for places in _batches(requests, max(1, budget // _token_bytes(lm)), most_rows):
        if needed is not None and needed.isdisjoint(places):
            continue
        rows = [_Row(place, requests[place]) for place in places]
        with torch.inference_mode():
            for row in _written(lm, rows):
                finished(row.place, _result(lm, row))


@dataclass
class _Row:
    place: int
    request: Request
    made: list[int] = field(default_factory=list)
    stop: str | None = None

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.request.seed)
        self.draws = torch.rand(self.request.most, generator=generator, dtype=torch.float64).tolist()


def _batches(requests: Sequence[Request], tokens: int, most_rows: int) -> Iterator[list[int]]:
    """Places of requests, longest first, as many together as padded prompts and answers fit ``tokens``."""

    def size(place: int) -> int:
        return len(requests[place].ids) + requests[place].most

    ordered = sorted(range(len(requests)), key=lambda place: (-size(place), requests[place].ids))
    while ordered:
        count = min(most_rows, max(1, tokens // size(ordered[0])))
        yield ordered[:count]
        ordered = ordered[count:]


def _token_bytes(lm: LanguageModel) -> int:
    """Bytes of keys and values that one token takes in all layers; sliding windows are counted as full."""
    config: Any = lm.model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * next(lm.model.base_model.parameters()).element_size())


def _written(lm: LanguageModel, rows: list[_Row]) -> Iterator[_Row]:
    """The rows of one batch as they end. A row that has ended leaves the batch."""
    from transformers import DynamicCache

    cache = DynamicCache(config=lm.model.config)
    width = max(len(row.request.ids) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, width - len(row.request.ids) :] = torch.tensor(row.request.ids)
        mask[i, width - len(row.request.ids) :] = 1
    ids, mask = ids.to(lm.device), mask.to(lm.device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    while rows:
        hidden = lm.model.base_model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state
        # As rows of a matrix: of a slice of (B, T, H), as `logits_to_keep` takes it, torch copies the head B times.
        for row, token in zip(rows, _chosen(logits(hidden[:, -1], lm.head()), rows), strict=True):
            row.made.append(token)
            row.stop = _stop(lm, row)
        yield from (row for row in rows if row.stop)
        kept = [i for i, row in enumerate(rows) if not row.stop]
        if len(kept) < len(rows):
            rows = [rows[i] for i in kept]
            index = torch.tensor(kept, dtype=torch.long, device=mask.device)
            mask, positions = mask[index], positions[index]
            if rows:
                cache.batch_select_indices(index)
        ids = torch.tensor([row.made[-1:] for row in rows], dtype=torch.long, device=mask.device)
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
        positions = positions[:, -1:] + 1


def _chosen(scores: torch.Tensor, rows: Sequence[_Row]) -> list[int]:
    """Logits (B, V) float32 -> the next token of each row."""
    best = scores.argmax(1)
    if not torch.isfinite(scores.gather(1, best[:, None])).all():  # argmax gives a NaN's place if there is one
        raise ValueError("the model's logits are not finite while it writes an answer")
    found = best.tolist()
    for i, row in enumerate(rows):
        if row.request.temperature > 0:
            shares = (scores[i] / row.request.temperature).softmax(0).double().cumsum(0)
            draw = row.draws[len(row.made)] * shares[-1]
            found[i] = int(torch.searchsorted(shares, draw, right=True).clamp(max=len(shares) - 1))
    return found


def _stop(lm: LanguageModel, row: _Row) -> str | None:
    """Why the row ends with its last token, or None."""
    ending = row.request.ending
    if row.made[-1] in ending.ids:
        return END
    if ending.strings:
        tail = _decoded(lm, row.made[-TAIL:])
        if any(string in tail for string in ending.strings):
            return END
    return LENGTH if len(row.made) >= row.request.most else None


def _result(lm: LanguageModel, row: _Row) -> Written:
    text = _decoded(lm, row.made)
    for string in row.request.ending.strings:
        text = text.partition(string)[0]
    return Written(text.strip(), row.stop or LENGTH, len(row.made))


def _decoded(lm: LanguageModel, ids: Iterable[int]) -> str:
    return str(lm.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
