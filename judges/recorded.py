"""A line of a judgements file as the judgement that was made, whichever judge made it."""

from __future__ import annotations

from typing import Any

from judges import api, local
from judges.duel import Judgement


def read_recorded(kept: dict[str, Any]) -> Judgement:
    """Replies are parsed anew by the present rules; log-probabilities are chosen from anew."""
    return local.read_kept(kept) if "logprobs" in kept else api.read_kept(kept)
