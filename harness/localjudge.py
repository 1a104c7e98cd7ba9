"""A language model of this machine behind `judges.local`: label log-probabilities after a prompt, in one forward pass.

The head is applied to the last position and to the rows of the labels only, in float32: bfloat16 logits of 16 or more
are an eighth apart, so that labels would often tie. Prompts are read one by one: in a batch, rounding would depend on
what else is in it. Two prompts share little from the beginning, for the code that marks what is judged stands early.

Its two messages go through the tokenizer's chat template; a model without one gets them as plain text, one after the
other (``plain-1``), which a base model continues as best it can.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.problems import UserError
from judges.local import LABELS, Score, Unscored
from judges.prompts import Prompt
from methods.base import Progress, silent

if TYPE_CHECKING:
    from harness.languagemodel import LanguageModel

PLAIN = "plain-1"


def load_judge(
    model: str, cache: Path, dtype: str = "auto", device: str = "auto", progress: Progress = silent
) -> tuple[LanguageModel, dict[str, Any]]:
    """The model, and what tells it from any other judge. Raises UserError for one that is not to be had."""
    from harness.languagemodel import LanguageModel
    from harness.models import check_bos, resolve

    found = resolve(model, cache, dtype, device, progress)
    source = found.source
    check_bos(source)
    tokenizer = source.tokenizer()
    template = getattr(tokenizer, "chat_template", None)
    identity = {
        "model": model,
        "weights": source.digest,
        "dtype": source.dtype,
        "labels": "float32",
        "device": source.device.partition(":")[0],
        "template": hashlib.sha256(str(template).encode()).hexdigest()[:16] if template else PLAIN,
    }
    return LanguageModel(source.model(), tokenizer, source.device), identity


def scorer(lm: LanguageModel, longest: int) -> Score:
    """(prompt, labels) -> ln p(last token of each label | prompt, what the labels share, and that it is one of them).

    The labels share all tokens but the last, whose probabilities are therefore of one kind and come from one pass.
    One call at a time.
    Raises UserError for a tokenizer that reads the labels otherwise; the score itself raises Unscored for a prompt of
    more than ``longest`` tokens, or more than the model was made for.
    """
    import torch

    from harness.languagemodel import logits

    shared, last = _split([lm.encode(label, special=False) for label in LABELS])
    whole = lm.head()
    bias = None if whole.bias is None else whole.bias[last].float()
    head = whole._replace(weight=whole.weight[last].float(), bias=bias)
    most, alone = min(longest, lm.window), threading.Lock()

    def score(prompt: Prompt, labels: Sequence[str]) -> Sequence[float]:
        ids = [*_encoded(lm, prompt), *shared]
        if len(ids) > most:
            raise Unscored(f"the prompt has {len(ids)} tokens, and the judge reads {most} at once")
        with alone, torch.inference_mode():
            hidden = lm.hidden(torch.tensor([ids]))[0, -1:]
            return [float(value) for value in torch.log_softmax(logits(hidden, head)[0], dim=-1)]

    return score


def _split(labels: list[list[int]]) -> tuple[list[int], list[int]]:
    """Token ids of the labels -> what they share, and the last token of each."""
    shared = labels[0][:-1]
    last = [ids[-1] for ids in labels]
    if any(ids[:-1] != shared for ids in labels) or len(set(last)) < len(last):
        raise UserError(
            f"the judge's tokenizer reads the labels {', '.join(LABELS)} with different beginnings, so that their "
            "probabilities cannot be compared; take another model as judge."
        )
    return shared, last


def _encoded(lm: LanguageModel, prompt: Prompt) -> list[int]:
    if not getattr(lm.tokenizer, "chat_template", None):
        return lm.encode(f"{prompt.system}\n\n{prompt.user}\n\n")
    messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
    try:
        text = lm.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception:  # jinja2's TemplateError, of a template that has no system role: Gemma 2's
        merged = [{"role": "user", "content": f"{prompt.system}\n\n{prompt.user}"}]
        text = lm.tokenizer.apply_chat_template(merged, tokenize=False, add_generation_prompt=True)
    return lm.encode(str(text), special=False)  # the template brings its own special tokens
