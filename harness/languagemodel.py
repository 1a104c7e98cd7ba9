"""A causal language model as the tasks see it: text to ids, ids to final hidden states, and the head."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from harness.scoring import Head
from methods._stored import dtype_name

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class LanguageModel:
    """A loaded model with its tokenizer.

    The vocabulary head is kept apart from the body, so that logits need never exist as a whole: ``head()`` applied to
    ``hidden(ids)`` is what the model itself would return. That is checked on a few tokens when the head is first asked
    for, because each architecture may do something of its own to its logits.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, device: str = "cpu") -> None:
        self.model, self.tokenizer, self.device = model.eval(), tokenizer, device

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Token ids as the tokenizer begins and ends a text, with BOS if it adds one; or of the text alone."""
        return self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]

    @cached_property
    def bos(self) -> int | None:
        """The id that the tokenizer puts before a text, or None."""
        ids = self.encode("a")
        return ids[0] if len(ids) > 1 and ids[0] == self.tokenizer.bos_token_id else None

    @property
    def prefix(self) -> int:
        """The id that a passage is read after: BOS, or where the tokenizer adds none, what ends the passage before."""
        known = (self.bos, self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        found = next((token for token in known if token is not None), None)
        if found is None:
            raise ValueError("the tokenizer has neither BOS nor EOS, so the first token of a passage has no context")
        return found

    @property
    def window(self) -> int:
        """The most tokens the model was made to read at once."""
        return int(getattr(self.model.config, "max_position_embeddings", 0) or 2048)

    @property
    def vocabulary(self) -> int:
        return len(self.head().weight)

    def dtypes(self) -> dict[str, str]:
        """What is computed in what: part of a number's label."""
        body = dtype_name(next(self.model.base_model.parameters()).dtype)
        head = dtype_name(self.head().weight.dtype)
        return {"body": body, "head": head, "log_softmax": "float32"}

    def hidden(self, ids: torch.Tensor, lengths: list[int] | None = None) -> torch.Tensor:
        """ids (B, T) int64 -> hidden (B, T, H): what the head multiplies, after the final norm.

        Shorter rows are padded on the right with any id: a causal model does not look there. ``lengths`` then cuts
        the padding off and returns (sum of lengths, H), row after row.
        """
        with torch.inference_mode():
            found = self.model.base_model(input_ids=ids.to(self.device), use_cache=False).last_hidden_state
        if lengths is None:
            return found
        return torch.cat([row[:length] for row, length in zip(found, lengths, strict=True)])

    def head(self) -> Head:
        """What turns hidden states into logits.

        Raises ValueError for an architecture that does more to its logits than we know.
        """
        return self._head

    @cached_property
    def head_digest(self) -> str:
        """Tells whether two models have the same head."""
        from harness.hiddenstore import tensors_digest

        head = self.head()
        return tensors_digest({"weight": head.weight} | ({} if head.bias is None else {"bias": head.bias}))

    @cached_property
    def _head(self) -> Head:
        config: Any = self.model.config.get_text_config()
        layer: Any = self.model.get_output_embeddings()
        scaling = getattr(config, "logits_scaling", None)  # Granite divides, Cohere multiplies
        scale = 1 / scaling if scaling else getattr(config, "logit_scale", None)
        softcap = getattr(config, "final_logit_softcapping", None)
        head = Head(layer.weight.detach(), getattr(layer, "bias", None), softcap, scale)
        self._check(head)
        return head

    def _check(self, head: Head) -> None:
        ids = torch.arange(1, 9, device=self.device).remainder(len(head.weight))[None]
        with torch.inference_mode():
            theirs = self.model(input_ids=ids, use_cache=False).logits[0].float()
        if not torch.isfinite(theirs).all():
            return  # nothing to compare with; whoever reads a text with it is told where
        ours = logits(self.hidden(ids)[0], head)
        spread = float(theirs.std())
        if not torch.allclose(ours, theirs, rtol=0.02, atol=0.02 * max(spread, 1e-6)):
            raise ValueError(
                f"{type(self.model).__name__} does something to its logits that we do not know: ours differ by up to "
                f"{float((ours - theirs).abs().max()):.3g} from its own"
            )


def logits(hidden: torch.Tensor, head: Head) -> torch.Tensor:
    """hidden (N, H) -> float32 (N, V), all of it: for a few tokens only."""
    found = (hidden.to(head.weight.dtype) @ head.weight.T).float()
    if head.bias is not None:
        found += head.bias
    if head.scale is not None:
        found *= head.scale
    if head.softcap is not None:
        found = torch.tanh(found / head.softcap) * head.softcap
    return found
