"""One forward pass over one text under one protocol, shared by the tasks that declare it.

``rolling``: each passage is read after BOS and scored whole; no separator follows it. A passage longer than the window
is cut as lm-eval cuts it: windows of the full width, each beginning one token before the first token it scores, the
last one reaching back as far as it can. Window 4, passage a b c d e f g h i j (^ = BOS):

    reads    ^ a b c       d e f g       f g h i
    scores   a b c d       e f g h           i j

``gptq``: passages joined by a blank line, tokenized once (BOS at the very beginning, if the tokenizer adds it), cut
into windows that do not overlap; each is read alone and scores all but its first token; the remainder is dropped:

    reads    ^ a b c       d e f g       h i j (dropped)
    scores     a b c         e f g

Passages are read in batches of similar length, padded on the right. Which others a passage is batched with changes its
numbers by rounding only; ``passes.read_again`` measures by how much. The batches follow from the texts, so a second run
gives the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from harness.hiddenstore import HiddenStore, Kept
from harness.languagemodel import LanguageModel
from harness.passages import Passage
from harness.problems import UserError, unknown
from harness.scoring import Known, token_facts, token_fidelity, token_nats
from methods.base import Progress, silent

PROTOCOLS = ("rolling", "gptq")
WINDOW = 2048
FEWEST_WINDOWS = 10
"""Under the gptq protocol: with fewer, no interval can be given."""
BATCH_TOKENS = 2048
"""Tokens, padding included, that are read at once on a CPU: two tiles of scoring."""
CUDA_BATCH_TOKENS = 16_384


@dataclass(frozen=True)
class Protocol:
    """How a text is cut into what the model reads. ``window`` None: 2048, or what the model was made for if less."""

    name: str = "rolling"
    window: int | None = None

    def __post_init__(self) -> None:
        if self.name not in PROTOCOLS:
            raise UserError(unknown("protocol", self.name, PROTOCOLS))
        if self.window is not None and self.window < 2:
            raise UserError(f"the window is {self.window} tokens; it takes at least 2 to predict one from another")

    def width(self, lm: LanguageModel) -> int:
        """Tokens the model reads at once. Raises UserError where the model was made for fewer."""
        if self.window is not None and self.window > lm.window:
            raise UserError(f"the window is {self.window} tokens, and the model was made to read {lm.window} at most")
        return self.window or min(WINDOW, lm.window)

    def label(self, lm: LanguageModel) -> str:
        return f"{self.name}, window {self.width(lm)}"


class Window(NamedTuple):
    ids: list[int]
    """What the model reads."""
    scored: int
    """How many tokens are scored: the last ``scored - 1`` of ``ids``, and ``target``."""
    target: int
    """The last token scored, which need not be read."""


@dataclass(frozen=True)
class Unit:
    """A passage (rolling) or a window (gptq) before it is read."""

    id: str
    group: str
    source_language: str | None
    bytes: int | None
    """UTF-8, of the whole text; None for windows of a joined text."""
    sentences: int | None
    windows: tuple[Window, ...]

    @property
    def targets(self) -> list[int]:
        return [token for w in self.windows for token in [*w.ids[len(w.ids) - w.scored + 1 :], w.target]]


class Moved(NamedTuple):
    """How each scored token's prediction differs from the reference's; see scoring.Fidelity."""

    kl: np.ndarray
    entropy: np.ndarray
    agree: np.ndarray
    delta_p: np.ndarray


@dataclass(frozen=True)
class Scored:
    """A passage or window that was read."""

    unit: Unit
    nats: np.ndarray
    """float32, one entry a scored token."""
    moved: Moved | None = None
    """None when there was no reference."""


@dataclass(frozen=True)
class Reading:
    """A whole text, read."""

    protocol: Protocol
    scored: tuple[Scored, ...]
    """In the order of the passages."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """The label of every number that comes from it: protocol, window, dtypes, BOS."""


def read(
    lm: LanguageModel,
    passages: Sequence[Passage],
    protocol: Protocol,
    reference: HiddenStore | None = None,
    keep: HiddenStore | None = None,
    progress: Progress = silent,
    batch_tokens: int | None = None,
    count: Callable[[int], int] | None = None,
) -> Reading:
    """Read a text once.

    ``keep`` stores the hidden states (of `none`); ``reference`` gives those that KL divergence is measured against.
    Both may be the same store. ``batch_tokens`` are read at once, padding included (None: what suits the device; at
    least one passage or window). ``count``: how many of so many passages or windows are read, the first ones.

    Raises DamagedHidden where the reference's are missing or damaged, UserError for a text that the protocol cannot
    read, ValueError for logits that are not finite, naming the passage.
    """
    found = units(lm, passages, protocol)
    if count:
        found = found[: count(len(found))]
    budget = batch_tokens or (CUDA_BATCH_TOKENS if lm.device.startswith("cuda") else BATCH_TOKENS)
    if keep:
        keep.begin(lm)
    reference_head = reference.head(lm) if reference and reference != keep else None
    scored: dict[int, Scored] = {}
    with torch.inference_mode():
        for batch in batches(found, budget):
            chosen = [found[place] for place in batch]
            targets = [torch.tensor(unit.targets, device=lm.device) for unit in chosen]
            hidden, joined = _hidden(lm, chosen, budget), torch.cat(targets)
            sizes = [len(target) for target in targets]
            facts = None
            if keep:
                facts = token_facts(hidden, joined, lm.head())
                for unit, target, part in zip(chosen, targets, _split(sizes, hidden, *facts), strict=True):
                    keep.save(unit.id, Kept(part[0], Known(*part[1:])), target)
            if reference:
                kept = [reference.load(unit.id, target) for unit, target in zip(chosen, targets, strict=True)]
                states = torch.cat([one.hidden for one in kept])
                known = Known(*map(torch.cat, zip(*(one.known for one in kept), strict=True)))
                fidelity = token_fidelity(hidden, states, joined, lm.head(), reference_head, known)
                values = [fidelity.nats, fidelity.kl, fidelity.entropy, fidelity.agree, fidelity.delta_p]
            else:
                values = [facts.nats if facts else token_nats(hidden, joined, lm.head())]
            for place, unit, part in zip(batch, chosen, _split(sizes, *values), strict=True):
                _require_finite(unit, part)
                nats, *moved = (value.cpu().numpy() for value in part)
                scored[place] = Scored(unit, nats, Moved(*moved) if moved else None)
            progress("reading", len(scored), len(found))
    if keep:
        keep.finish(lm, [unit.id for unit in found])
    return Reading(protocol, tuple(scored[place] for place in range(len(found))), _notes(lm, protocol))


def _split(sizes: list[int], *values: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Tensors over all tokens of a batch -> for each passage its part of them."""
    return zip(*(value.split(sizes) for value in values), strict=True)


def units(lm: LanguageModel, passages: Sequence[Passage], protocol: Protocol) -> list[Unit]:
    """The text as the protocol cuts it. Raises UserError for a text that is empty or too short."""
    width = protocol.width(lm)
    if protocol.name == "gptq":
        return _joined(lm, passages, width)
    found = []
    for passage in passages:
        ids = lm.encode(passage.text, special=False)
        if not ids:
            raise UserError(f"passage '{passage.group}' ({passage.language}) is empty; remove it from the corpus")
        windows = tuple(rolling_windows(ids, lm.prefix, width))
        size = len(passage.text.encode())
        found.append(Unit(passage.id, passage.group, passage.source_language, size, passage.sentences, windows))
    if not found:
        raise UserError("there is no passage to read")
    return found


def rolling_windows(ids: Sequence[int], prefix: int, width: int) -> Iterator[Window]:
    """Windows of at most ``width`` tokens that score each of ``ids`` once; drawn at the top of this file."""
    text = [prefix, *ids]
    for scored in range(0, len(ids), width):
        last = min(scored + width, len(ids))  # text[last] is the last token scored here
        first = max(0, last - width)
        yield Window(text[first:last], last - scored, text[last])


def _joined(lm: LanguageModel, passages: Sequence[Passage], width: int) -> list[Unit]:
    ids = lm.encode("\n\n".join(passage.text for passage in passages))
    count = len(ids) // width
    if count < FEWEST_WINDOWS:
        raise UserError(
            f"the text has {len(ids)} tokens, which is {count} windows of {width}; protocol gptq needs "
            f"{FEWEST_WINDOWS}. Name a longer corpus, a smaller window, or protocol rolling."
        )
    found = []
    for number in range(count):
        *window, last = ids[number * width : (number + 1) * width]
        name = hashlib.blake2b(repr([*window, last]).encode(), digest_size=8).hexdigest()
        unit = Unit(name, f"window-{number:05d}", None, None, None, (Window(window, width - 1, last),))
        found.append(unit)
    return found


def batches(found: Sequence[Unit], budget: int) -> Iterator[list[int]]:
    """Places in ``found``, the longest first, in groups of at most ``budget`` padded tokens (one unit at least)."""
    lengths = [max(len(window.ids) for window in unit.windows) for unit in found]
    batch: list[int] = []
    rows = width = 0
    for place in sorted(range(len(found)), key=lambda place: (-lengths[place], place)):
        more = len(found[place].windows)
        if batch and (rows + more) * width > budget:
            yield batch
            batch, rows = [], 0
        if not batch:
            width = lengths[place]
        batch.append(place)
        rows += more
    if batch:
        yield batch


def _hidden(lm: LanguageModel, chosen: Sequence[Unit], budget: int) -> torch.Tensor:
    """(n, H): the states that predict the scored tokens of these units, in their order."""
    windows = [window for unit in chosen for window in unit.windows]
    width = max(len(window.ids) for window in windows)
    step = max(1, budget // width)
    states = []
    for first in range(0, len(windows), step):
        rows = windows[first : first + step]
        ids = torch.zeros(len(rows), max(len(window.ids) for window in rows), dtype=torch.long)
        for row, window in zip(ids, rows, strict=True):
            row[: len(window.ids)] = torch.tensor(window.ids)
        hidden = lm.hidden(ids)
        states += [
            row[len(window.ids) - window.scored : len(window.ids)] for row, window in zip(hidden, rows, strict=True)
        ]
    return torch.cat(states)


def _require_finite(unit: Unit, values: Sequence[torch.Tensor]) -> None:
    for value in values:
        bad = (~torch.isfinite(value.float())).nonzero()
        if len(bad):
            raise ValueError(
                f"the model's logits are not finite in passage '{unit.group}', at token {int(bad[0]) + 1} of "
                f"{len(value)}"
            )


def _notes(lm: LanguageModel, protocol: Protocol) -> dict[str, str]:
    dtypes = ", ".join(f"{part.replace('_', '-')} {dtype}" for part, dtype in lm.dtypes().items())
    begun = "as the tokenizer does" if lm.bos is not None else "though the tokenizer adds none"
    bos = f"{lm.tokenizer.convert_ids_to_tokens(lm.prefix)} before each passage, {begun}; not scored"
    if protocol.name == "gptq":
        bos = "at the beginning of the text only" if lm.bos is not None else "none"
    return {"protocol": protocol.label(lm), "dtypes": dtypes, "bos": bos}
