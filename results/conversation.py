"""One question's turns and the answers that a model wrote to them; kept so that they can be judged, and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

END, LENGTH = "end", "length"


@dataclass(frozen=True)
class Conversation:
    """The answers to one question. The question's own text is known by its set: only its id is kept."""

    question: str
    """The question's id in its set."""
    turns: tuple[str, ...]
    """An answer to each turn, as decoded, special tokens left out."""
    stops: tuple[str, ...]
    """Why each answer ended: ``end``, the model ended it; ``length``, the cap did."""
    tokens: tuple[int, ...]
    """New tokens of each answer, the one that ends it included."""

    def __post_init__(self) -> None:
        if not len(self.turns) == len(self.stops) == len(self.tokens):
            raise ValueError(
                f"a conversation has one stop and one count of tokens to each answer, not {len(self.stops)} and "
                f"{len(self.tokens)} to {len(self.turns)} answers"
            )
        if stray := set(self.stops) - {END, LENGTH}:
            raise ValueError(f"an answer stops at '{END}' or at '{LENGTH}', not at {sorted(stray)[0]!r}")

    def to_json(self) -> dict[str, Any]:
        return {
            "question": self.question,
            "turns": list(self.turns),
            "stops": list(self.stops),
            "tokens": list(self.tokens),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Conversation:
        return cls(value["question"], tuple(value["turns"]), tuple(value["stops"]), tuple(value["tokens"]))
