"""Tiny random models for tests that read text: saved once per run of the tests, and loaded afresh for each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

VOCABULARY = 96


def save_tokenizer(folder: Path, bos: bool = True) -> None:
    """One token per character: four specials and 92 printable ASCII characters; anything else is ``<unk>``."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", *map(chr, range(32, 28 + VOCABULARY))]
    tokenizer = Tokenizer(models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
    ).save_pretrained(folder)


def save_model(folder: Path, family: str, **options) -> None:
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    common = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 128,
        "tie_word_embeddings": False,
        "initializer_range": 0.2,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
    }
    if family.startswith("gemma"):
        common |= {"sliding_window": 8, "query_pre_attn_scalar": 8, "tie_word_embeddings": True}
        common |= {"layer_types": ["sliding_attention", "full_attention"]}
    if family == "gemma2":
        common |= {"final_logit_softcapping": 3.0, "attn_logit_softcapping": 5.0}
    if family == "qwen2":
        del common["head_dim"]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[family](**(common | options)))
    model.save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """``tiny_folder(family, bos=True, **config)``: a transformers folder that tests do not write to."""
    made = {}

    def folder(family: str = "llama", bos: bool = True, **options) -> Path:
        key = json.dumps([family, bos, options], sort_keys=True)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("tiny")
            save_model(made[key], family, **options)
            save_tokenizer(made[key], bos)
        return made[key]

    return folder


@pytest.fixture
def tiny_lm(tiny_folder):
    """``tiny_lm(family, dtype)``: a LanguageModel of its own for each test."""

    def load(family: str = "llama", dtype: str = "float32", bos: bool = True, **options):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from harness.languagemodel import LanguageModel

        folder = tiny_folder(family, bos, **options)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        return LanguageModel(model, AutoTokenizer.from_pretrained(folder), "cpu")

    return load
