"""A language model as judge: the verdict is read from the next-token probabilities of its labels. Nothing is parsed.

The model is an argument: a function from a prompt and labels to one log-probability each.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from judges.duel import Duel, Judgement, Preference, content_key
from judges.judgements import Judgements
from judges.prompts import Prompt, PromptSet

LABELS = ("[[A", "[[B", "[[C")
"""How a reply begins that says so. The shared brackets cancel: only the letters' chances are compared."""

Score = Callable[[Prompt, Sequence[str]], Sequence[float]]
"""(prompt, labels) -> log-probability in nats of each label as the reply's beginning, given it is one of them."""

_PREFERENCES = (Preference.FIRST, Preference.SECOND, Preference.TIE)


class Unscored(Exception):
    """``Score`` cannot read this prompt, such as one that is too long; the message is the judgement's reason."""


@dataclass(frozen=True)
class LocalJudge:
    """Judges by the likeliest label; deterministic where ``score`` is.

    ``score`` puts the prompt's two messages through the model's chat template. All labels must be read with the same
    tokens but the last, or their probabilities are not of one kind.
    """

    score: Score
    prompts: PromptSet
    identity: Mapping[str, Any] = field(default_factory=dict)
    """Which model this is: digest, revision, dtype."""
    kept: Judgements | None = None
    """Where judgements are kept, so that none is computed twice; None: nowhere."""
    _alone: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def key(self, duel: Duel) -> str:
        """Hash of the prompt and of who reads it."""
        return content_key(["local", self.prompts.pair(duel, "direct"), dict(self.identity)])

    def judge(self, duel: Duel) -> Judgement:
        """One at a time, so that of two equal prompts the second finds the first one's judgement."""
        with self._alone:
            return self._judge(duel)

    def _judge(self, duel: Duel) -> Judgement:
        prompt = self.prompts.pair(duel, "direct")
        identity = {"judge": "local", **self.identity, "prompts": self.prompts.hash}
        key = self.key(duel)
        if self.kept is not None and (kept := self.kept.get(key)) is not None:
            return read_kept(kept)
        try:
            logprobs = [float(value) for value in self.score(prompt, LABELS)]
        except Unscored as error:
            return Judgement(Preference.FAILED, reason=str(error), identity=identity, key=key)
        if len(logprobs) != len(LABELS):
            raise ValueError(f"score returned {len(logprobs)} log-probabilities for {len(LABELS)} labels")
        if any(math.isnan(value) for value in logprobs) or max(logprobs) == -math.inf:
            reason = f"the model gave no probabilities to choose by: {', '.join(map(str, logprobs))}"
            return Judgement(Preference.FAILED, reason=reason, identity=identity, key=key)
        told = [max(value, -1e4) for value in logprobs]  # a record holds no infinity
        value = {"duel": duel.key, "identity": identity, "logprobs": told}
        if self.kept is None:
            return read_kept({**value, "key": key})
        value["date"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.kept.add(key, value)
        return read_kept({**value, "key": key})


def read_kept(kept: Mapping[str, Any]) -> Judgement:
    """The judgement of a kept line."""
    date = {"date": kept["date"]} if "date" in kept else {}
    identity = {**kept["identity"], **date, "logprobs": kept["logprobs"]}
    return Judgement(choose(kept["logprobs"]), identity=identity, key=kept["key"])


def choose(logprobs: Sequence[float]) -> Preference:
    """The likeliest of first, second and tie; equal chances of first and second are a tie.

    >>> choose([-1.0, -2.0, -3.0]), choose([-1.0, -1.0, -3.0])
    (<Preference.FIRST: 'first'>, <Preference.TIE: 'tie'>)
    """
    best = [preference for preference, value in zip(_PREFERENCES, logprobs, strict=True) if value == max(logprobs)]
    return best[0] if len(best) == 1 else Preference.TIE
