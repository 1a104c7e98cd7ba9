"""How a question becomes tokens: by the tokenizer's chat template, or for base models by a plain one of our own.

The plain template marks turns with labels in the question's language, because a label in another one invites answers in
that; languages for which we have no labels get none, but questions quoted as in a letter. A label that the model writes
itself ends its answer. History is never cut: what does not fit is told by the task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.generation import Ending

if TYPE_CHECKING:
    from harness.languagemodel import LanguageModel

LABELS = {
    "en": ("Question", "Answer"),
    "ko": ("질문", "답변"),
    "ja": ("質問", "回答"),
    "zh": ("问题", "回答"),
    "fr": ("Question", "Réponse"),
    "es": ("Pregunta", "Respuesta"),
    "vi": ("Câu hỏi", "Trả lời"),
    "id": ("Pertanyaan", "Jawaban"),
}
"""Language -> what stands before a question and before an answer in the plain template."""


@dataclass(frozen=True)
class Template:
    name: str
    """``chat`` or ``plain``."""
    text: str
    """What it makes of one question, for the record."""
    encode: Callable[[Sequence[str]], list[int]]
    """Question, answer, question ... -> ids after which the next answer begins."""
    ending: Ending


def template_of(lm: LanguageModel, name: str, language: str) -> Template:
    """``auto``: the chat template where the tokenizer has one. Raises ValueError for ``chat`` where it has none."""
    has_one = bool(getattr(lm.tokenizer, "chat_template", None))
    if name == "chat" and not has_one:
        raise ValueError("the model's tokenizer has no chat template; leave template out, or say template=plain")
    return _chat(lm) if name == "chat" or (name == "auto" and has_one) else _plain(lm, language)


def _chat(lm: LanguageModel) -> Template:
    """The tokenizer's template, which writes BOS and all else itself; where it knows of thinking, thinking is off."""

    def rendered(turns: Sequence[str], asks: bool = True) -> str:
        messages = [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]
        try:
            return str(
                lm.tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=asks, enable_thinking=False
                )
            )
        except Exception as error:  # jinja's, and whatever a template raises by itself
            raise ValueError(f"the chat template refuses a conversation of {len(turns)} messages: {error}") from error

    # What follows an answer in a finished conversation ends it, whatever the model's settings name as EOS.
    after = rendered(("?", "!"), asks=False).rpartition("!")[2]
    ends = {token for token in lm.encode(after, special=False)[:1] if _is_special(lm, token)}
    return Template(
        "chat",
        rendered(("...",)),
        lambda turns: lm.encode(rendered(turns), special=False),
        Ending(_eos(lm) | ends),
    )


def _plain(lm: LanguageModel, language: str) -> Template:
    """``Question: ...\\nAnswer: ...\\n\\n``, or without labels ``> ...\\n\\n...\\n\\n``."""
    labels = LABELS.get(language.split("-")[0])
    ends: tuple[str, ...] = tuple(f"\n{label}:" for label in labels or ()) or ("\n>",)

    def rendered(turns: Sequence[str]) -> str:
        return "".join(_answer(turn, labels) if i % 2 else _question(turn, labels) for i, turn in enumerate(turns))

    return Template(
        "plain",
        rendered(("...",)),
        lambda turns: lm.encode(rendered(turns)),
        Ending(_eos(lm), ends),
    )


def _question(text: str, labels: tuple[str, str] | None) -> str:
    return f"{labels[0]}: {text}\n{labels[1]}:" if labels else "> " + text.replace("\n", "\n> ") + "\n\n"


def _answer(text: str, labels: tuple[str, str] | None) -> str:
    return f" {text}\n\n" if labels else f"{text}\n\n"


def _eos(lm: LanguageModel) -> frozenset[int]:
    """All ids that the tokenizer and the model's generation settings name as an end."""
    named: Any = getattr(getattr(lm.model, "generation_config", None), "eos_token_id", None)
    several = named if isinstance(named, list | tuple) else [named]
    return frozenset(int(token) for token in (*several, lm.tokenizer.eos_token_id) if token is not None)


def _is_special(lm: LanguageModel, token: int) -> bool:
    known: Any = getattr(lm.tokenizer, "added_tokens_decoder", {})
    return token in lm.tokenizer.all_special_ids or bool(getattr(known.get(token), "special", False))
