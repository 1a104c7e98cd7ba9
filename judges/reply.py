"""A chat completion's body, taken apart: nothing in it is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One chat completion."""

    message: str
    model: str
    """As the endpoint reports it."""
    fingerprint: str | None
    finish: str | None
    """``stop``, ``length`` (cut off) or whatever the server says."""
    input_tokens: int | None
    output_tokens: int | None
    date: str
    """When it came, UTC."""

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def read_reply(content: bytes) -> Reply:
    """A chat completion's body. Raises ValueError with the reason if it is none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("the reply is no JSON") from None
    return reply_of(value)


def reply_of(value: Any) -> Reply:
    """The same of a body that is JSON."""
    choices = value.get("choices") if isinstance(value, Mapping) else None
    if not isinstance(choices, list):
        raise ValueError("the reply has not the shape of a chat completion")
    if not choices:
        raise ValueError("the reply has no choices")
    message = choices[0].get("message") if isinstance(choices[0], dict) else None
    text = message.get("content", "") if isinstance(message, dict) else 0
    if not isinstance(text, str | None):
        raise ValueError("the reply has no message")
    usage = value.get("usage") if isinstance(value.get("usage"), dict) else {}
    return Reply(
        message=text or "",
        model=str(value.get("model", "")),
        fingerprint=text_of(value.get("system_fingerprint")),
        finish=text_of(choices[0].get("finish_reason")),
        input_tokens=count_of(usage.get("prompt_tokens")),
        output_tokens=count_of(usage.get("completion_tokens")),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def text_of(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def count_of(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
