"""Tiny random models of every family, saved as transformers folders with a tokenizer that begins a text with BOS."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedTokenizerFast, logging

from methods.base import Source

logging.set_verbosity_error()
torch.set_num_threads(2)

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text")
HIDDEN, INTERMEDIATE, HEAD, VOCABULARY = 64, 128, 16, 96


def save_tokenizer(folder: Path) -> None:
    """One token per character: four specials and 92 printable ASCII characters; anything else is ``<unk>``."""
    specials = ["<pad>", "<eos>", "<bos>", "<unk>"]
    characters = [chr(code) for code in range(32, 32 + VOCABULARY - len(specials))]
    vocabulary = {token: index for index, token in enumerate(specials + characters)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
    ).save_pretrained(folder)


def tiny_config(family: str, layers: int, grouped: bool, tied: bool) -> Any:
    gemma = family.startswith("gemma")
    options: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2 if grouped else 4,
        "head_dim": HEAD,
        "max_position_embeddings": 256,
        "tie_word_embeddings": tied,
        "initializer_range": 0.15,  # far from uniform logits, so that damage shows
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
    }
    if gemma:
        kinds = ["sliding_attention", "full_attention"]  # both masks occur
        options |= {"sliding_window": 8, "layer_types": [kinds[i % 2] for i in range(layers)]}
        options |= {"query_pre_attn_scalar": HEAD}
    if family == "qwen2":
        del options["head_dim"]
    return CONFIG_MAPPING[family](**options)


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., Path]:
    """``tiny_model(family, folder, layers=2, grouped=True, tied=False, seed=0, shard="5GB") -> folder``.

    float32, hidden 64, intermediate 128, 4 query heads of 16 and 2 key-value heads (4 when not ``grouped``),
    vocabulary 96. Norm weights and biases are random too, so that forgetting one shows.
    """

    def make(
        family: str,
        folder: Path,
        layers: int = 2,
        grouped: bool = True,
        tied: bool = False,
        seed: int = 0,
        shard: str = "5GB",
    ) -> Path:
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(family, layers, grouped, tied), dtype=torch.float32)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.2 * torch.randn_like(parameter))
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder, max_shard_size=shard)
        save_tokenizer(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_source(tiny_model: Callable[..., Path]) -> Callable[..., Source]:
    """As ``tiny_model``, but gives a float32 ``Source`` with a digest of the folder's files."""

    def make(family: str, folder: Path, **options: Any) -> Source:
        tiny_model(family, folder, **options)
        digest = hashlib.blake2b(digest_size=16)
        for path in sorted(folder.iterdir()):
            digest.update(path.read_bytes())
        return Source(folder, digest.hexdigest())

    return make
