from __future__ import annotations

import pytest
import torch

from harness.languagemodel import LanguageModel, logits

FAMILIES = ("llama", "qwen2", "qwen3", "gemma2", "gemma3_text")
TIED = {"granite": {"logits_scaling": 4.0}, "cohere": {"logit_scale": 0.25}}


@pytest.mark.parametrize("family", FAMILIES)
def test_head_of_hidden_is_the_models_own_logits(tiny_lm, family):
    lm = tiny_lm(family)
    ids = torch.arange(4, 24)[None]
    with torch.inference_mode():
        theirs = lm.model(input_ids=ids).logits[0]
    assert torch.allclose(logits(lm.hidden(ids)[0], lm.head()), theirs, atol=1e-5)
    assert lm.head().softcap == (3.0 if family == "gemma2" else None)


@pytest.mark.parametrize("family", TIED)
def test_scaled_logits_are_scaled(tiny_lm, family):
    lm = tiny_lm(family, **TIED[family])
    ids = torch.arange(4, 24)[None]
    with torch.inference_mode():
        theirs = lm.model(input_ids=ids).logits[0]
    assert torch.allclose(logits(lm.hidden(ids)[0], lm.head()), theirs, atol=1e-5)
    assert lm.head().scale == 0.25


def test_an_architecture_that_does_something_unknown_is_refused(tiny_lm):
    lm = tiny_lm("gemma2")
    lm.model.config.final_logit_softcapping = None
    original = lm.model.forward

    def forward(**inputs):
        found = original(**inputs)
        found.logits = found.logits.tanh()
        return found

    lm.model.forward = forward
    with pytest.raises(ValueError, match=r"Gemma2ForCausalLM does something to its logits .* differ by up to \d"):
        lm.head()


def test_bos_is_what_the_tokenizer_adds(tiny_lm):
    with_bos, without = tiny_lm(), tiny_lm(bos=False)
    assert (with_bos.bos, with_bos.encode("ab"), with_bos.encode("ab", special=False)) == (2, [2, 69, 70], [69, 70])
    assert (without.bos, without.encode("ab"), without.prefix) == (None, [69, 70], 2)


def test_a_tokenizer_with_neither_bos_nor_eos_cannot_begin_a_passage(tiny_lm):
    lm = tiny_lm(bos=False)
    lm.tokenizer.bos_token = lm.tokenizer.eos_token = None
    with pytest.raises(ValueError, match="neither BOS nor EOS"):
        _ = lm.prefix


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_padding_on_the_right_changes_nothing(tiny_lm, family):
    lm = tiny_lm(family)
    long, short = torch.arange(4, 34), torch.arange(40, 51)
    padded = torch.zeros(2, 30, dtype=torch.long)
    padded[0], padded[1, :11] = long, short
    together = lm.hidden(padded, [30, 11])
    alone = torch.cat([lm.hidden(long[None])[0], lm.hidden(short[None])[0]])
    assert together.shape == (41, 32)
    assert torch.allclose(together, alone, atol=1e-5)


def test_what_is_computed_in_what(tiny_lm):
    lm = tiny_lm(dtype="bfloat16")
    assert lm.dtypes() == {"body": "bfloat16", "head": "bfloat16", "log_softmax": "float32"}
    assert (lm.window, lm.vocabulary) == (128, 96)
    assert isinstance(lm, LanguageModel)


def test_equal_heads_have_equal_digests(tiny_lm):
    one, same, other = tiny_lm(), tiny_lm(), tiny_lm(initializer_range=0.1)
    assert one.head_digest == same.head_digest != other.head_digest
