"""A GGUF file, read and dequantized into a transformers folder: header, config, tensors.

We read the file ourselves because transformers needs minutes for a vocabulary of 262,144 tokens, and because its
releases disagree on Gemma's tokenizer (5.17 builds a Unigram model, 5.23 the BPE that Gemma was trained with).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.gguf_header import Header, Tensor, UnreadableGGUF, read_header
from harness.problems import nearest
from methods.base import Progress, silent

if TYPE_CHECKING:
    import torch

SHARD_BYTES = 2 * 1024**3
"""A folder's safetensors files are cut here, so that no more than this waits in memory."""
PIECE_ELEMENTS = 8 * 1024**2
"""Rows are dequantized in pieces of about this many weights: numpy holds several float32 copies of a piece."""


@dataclass(frozen=True)
class Family:
    """How llama.cpp's names and conventions for one architecture become transformers'."""

    model_type: str
    architecture: str
    gemma: bool = False
    """Norms are stored as 1 + weight, and a block has four of them."""
    permuted: bool = False
    """Rows of the query and key projections are interleaved for llama.cpp's rotary embedding."""


FAMILIES = {
    "llama": Family("llama", "LlamaForCausalLM", permuted=True),
    "qwen2": Family("qwen2", "Qwen2ForCausalLM"),
    "qwen3": Family("qwen3", "Qwen3ForCausalLM"),
    "gemma2": Family("gemma2", "Gemma2ForCausalLM", gemma=True),
    "gemma3": Family("gemma3_text", "Gemma3ForCausalLM", gemma=True),
}

FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Types of the file that are no quantization -> torch's."""
TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
BLOCK_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
}
NORMS = {"ffn_norm": "post_attention_layernorm"}
GEMMA_NORMS = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def family_of(header: Header) -> Family:
    """Raises UnreadableGGUF for an architecture we do not know."""
    name = header.architecture
    if name not in FAMILIES:
        raise UnreadableGGUF(
            f"the GGUF file holds architecture {name!r}; known are {', '.join(FAMILIES)}."
            f"{nearest(name, FAMILIES)} Name the original transformers folder or hub id instead."
        )
    return FAMILIES[name]


def to_config(header: Header) -> dict[str, Any]:
    """The transformers config that this header describes.

    Raises UnreadableGGUF where the file scales its rotary frequencies: that is lost in translation.
    """
    family, get, meta = family_of(header), header.get, header.metadata
    names = {tensor.name for tensor in header.tensors}
    if get("rope.scaling.type") not in (None, "none") or "rope_freqs.weight" in names:
        raise UnreadableGGUF(
            "the GGUF file scales its rotary frequencies, which we do not translate. "
            "Name the original transformers folder or hub id instead."
        )
    heads, hidden, blocks = get("attention.head_count"), get("embedding_length"), get("block_count")
    head_dim = get("attention.key_length") or get("rope.dimension_count") or hidden // heads
    rope = {"rope_type": "default", "rope_theta": get("rope.freq_base", 10000.0)}
    config = {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "dtype": "bfloat16",
        "transformers_version": "5.15.0",  # the oldest we know; without one it warns of a fault of older tokenizers
        "vocab_size": next(tensor.shape[0] for tensor in header.tensors if tensor.name == "token_embd.weight"),
        "hidden_size": hidden,
        "intermediate_size": get("feed_forward_length"),
        "num_hidden_layers": blocks,
        "num_attention_heads": heads,
        "num_key_value_heads": get("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": get("context_length"),
        "rms_norm_eps": get("attention.layer_norm_rms_epsilon"),
        "tie_word_embeddings": "output.weight" not in names,
        "rope_parameters": rope,
        "attention_bias": "blk.0.attn_q.bias" in names,
        "bos_token_id": meta.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": meta.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": meta.get("tokenizer.ggml.padding_token_id"),
    }
    if family.gemma:
        # The two 27B models divide by hidden / heads where all others divide by the head's width.
        wide = (family.model_type, blocks) in {("gemma2", 46), ("gemma3_text", 62)}
        config |= {
            "query_pre_attn_scalar": hidden // heads if wide else head_dim,
            "sliding_window": get("attention.sliding_window"),
            "hidden_activation": "gelu_pytorch_tanh",
            "attn_logit_softcapping": get("attn_logit_softcapping"),
            "final_logit_softcapping": get("final_logit_softcapping"),
        }
    if family.model_type == "gemma3_text":
        config["rope_parameters"] = {
            "full_attention": rope,
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        }
    return config


def to_name(name: str, family: Family) -> str:
    """``blk.3.attn_q.weight`` -> ``model.layers.3.self_attn.q_proj.weight``."""
    stem, _, suffix = name.rpartition(".")
    if stem in TOP_NAMES:
        return f"{TOP_NAMES[stem]}.{suffix}"
    if stem.startswith("blk."):
        _, block, part = stem.split(".", 2)
        parts = BLOCK_NAMES | (GEMMA_NORMS if family.gemma else NORMS)
        if part in parts:
            return f"model.layers.{block}.{parts[part]}.{suffix}"
    raise UnreadableGGUF(f"the GGUF file holds a tensor {name!r} that a {family.model_type} model does not have.")


def dequantize(path: Path, header: Header, tensor: Tensor, dtype: str = "bfloat16") -> torch.Tensor:
    """One tensor as transformers wants it: ``shape`` as in the header."""
    import gguf
    import torch

    stored, kind = _rows(path, tensor)
    rows, columns = len(stored), tensor.shape[-1]
    result = torch.empty(rows, columns, dtype=getattr(torch, dtype))
    # 1 + weight is undone before rounding: the sum was exact in float32, not in bfloat16
    offset = 1.0 if family_of(header).gemma and tensor.name.endswith("norm.weight") else 0.0
    step = max(1, PIECE_ELEMENTS // columns)
    for first in range(0, rows, step):
        # np.array copies: for float32 the piece would be the read-only file itself
        piece = np.array(gguf.dequantize(stored[first : first + step], kind), dtype=np.float32)
        result[first : first + step] = torch.from_numpy(piece).sub_(offset)
    return _in_order(result, header, tensor.name).reshape(tensor.shape)


def as_stored(path: Path, header: Header, tensor: Tensor) -> tuple[str, torch.Tensor]:
    """One tensor with the bytes it has in the file. A quantized one is uint8 ``(rows, bytes of a row)``, named after
    its type: ``model.layers.3.mlp.up_proj.Q4_K``."""
    import torch

    name, (stored, kind) = to_name(tensor.name, family_of(header)), _rows(path, tensor)
    if kind.name in FLOATS:
        return name, dequantize(path, header, tensor, FLOATS[kind.name])
    blocks = _in_order(torch.from_numpy(np.array(stored)), header, tensor.name)
    return f"{name.removesuffix('.weight')}.{kind.name}", blocks.contiguous()


def _rows(path: Path, tensor: Tensor) -> tuple[np.ndarray, Any]:
    """A tensor's bytes, a row of it in each row, and its type."""
    import gguf

    kind = gguf.GGMLQuantizationType(tensor.kind)
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    rows, columns = int(np.prod(tensor.shape[:-1], dtype=np.int64)), tensor.shape[-1]
    row_bytes = columns // block * block_bytes
    if tensor.offset + rows * row_bytes > path.stat().st_size:
        raise UnreadableGGUF(f"{path} is cut short: tensor {tensor.name!r} lies past its end; fetch it again.")
    return np.memmap(path, mode="r", dtype=np.uint8, offset=tensor.offset, shape=(rows, row_bytes)), kind


def _in_order(rows: torch.Tensor, header: Header, name: str) -> torch.Tensor:
    """The rows of a tensor in transformers' order, whether they are weights or the bytes of their blocks."""
    if not family_of(header).permuted:
        return rows
    heads = header.get("attention.head_count")
    if ".attn_q." in name:
        return _undo_permutation(rows, heads)
    return _undo_permutation(rows, header.get("attention.head_count_kv", heads)) if ".attn_k." in name else rows


def _undo_permutation(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """weight (heads x half x 2, in) -> (heads x 2 x half, in): rows that rotate together lie half a head apart."""
    out_features, in_features = weight.shape
    return weight.view(heads, -1, 2, in_features).transpose(1, 2).reshape(out_features, in_features)


def shards(header: Header) -> Iterator[list[Tensor]]:
    """The tensors in the file's order, in groups of at most SHARD_BYTES as bfloat16 (one tensor at least)."""
    group: list[Tensor] = []
    size = 0
    for tensor in header.tensors:
        tensor_bytes = 2 * int(np.prod(tensor.shape, dtype=np.int64))
        if group and size + tensor_bytes > SHARD_BYTES:
            yield group
            group, size = [], 0
        group.append(tensor)
        size += tensor_bytes
    yield group


def convert(path: Path, folder: Path, progress: Progress = silent, packed: bool = False) -> bool:
    """Write ``path`` to ``folder`` as config, tokenizer and safetensors; returns whether it asks for BOS.

    Tensors are dequantized to bfloat16, or where ``packed`` keep the bytes they have in the file.
    """
    from safetensors.torch import save_file

    from harness.gguf_tokenizer import save_tokenizer

    header = read_header(path)
    config = to_config(header)
    if packed:
        config["quantization_config"] = {"quant_method": "gguf", "file": path.name}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    add_bos = save_tokenizer(header.metadata, folder)
    groups = list(shards(header))
    index: dict[str, str] = {}
    done = 0
    for number, group in enumerate(groups, 1):
        one = len(groups) == 1
        file = "model.safetensors" if one else f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        tensors = {}
        for tensor in group:
            if packed:
                name, value = as_stored(path, header, tensor)
            else:
                name, value = to_name(tensor.name, family_of(header)), dequantize(path, header, tensor)
            tensors[name] = value
            index[name] = file
            done += 1
            progress("reading the GGUF file", done, len(header.tensors))
        save_file(tensors, folder / file, metadata={"format": "pt"})
    if len(groups) > 1:
        (folder / "model.safetensors.index.json").write_text(
            json.dumps({"metadata": {}, "weight_map": index}, indent=2) + "\n", encoding="utf-8"
        )
    return add_bos
