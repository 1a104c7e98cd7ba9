"""The tokenizer that a GGUF file describes, saved as ``tokenizer.json``: SentencePiece BPE and byte-level BPE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.problems import UserError, nearest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE = "▁"
CONTROL, USER_DEFINED = 3, 4
"""Token types of llama.cpp: markers such as BOS, and pieces that are matched whole."""

GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# each regular expression belongs to the vocabulary that was learned with it
SPLITS = {
    "gpt-2": GPT2_SPLIT,
    "default": GPT2_SPLIT,
    "smollm": GPT2_SPLIT,
    "llama-bpe": LLAMA3_SPLIT,
    "qwen2": LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}"),
}


def save_tokenizer(metadata: Mapping[str, Any], folder: Path) -> bool:
    """Write the tokenizer's files to ``folder``; returns whether it begins a text with BOS, as the file says.

    Raises UserError for a kind of tokenizer we do not know.
    """
    from transformers import PreTrainedTokenizerFast

    kind = metadata.get("tokenizer.ggml.model")
    if kind not in ("llama", "gpt2"):
        raise UserError(
            f"the GGUF file's tokenizer is of kind {kind!r}; known are 'llama' (SentencePiece BPE) and 'gpt2' "
            "(byte-level BPE). Name the original transformers folder or hub id instead."
        )
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    tokenizer = _sentencepiece(metadata, tokens) if kind == "llama" else _byte_level(metadata, tokens)
    _add_marked(tokenizer, tokens, metadata.get("tokenizer.ggml.token_type", ()))
    # llama.cpp adds BOS to a SentencePiece vocabulary whose file does not say
    add_bos = bool(metadata.get("tokenizer.ggml.add_bos_token", kind == "llama"))
    special = {
        f"{name}_token": tokens[metadata[key]]
        for name, key in (
            ("bos", "tokenizer.ggml.bos_token_id"),
            ("eos", "tokenizer.ggml.eos_token_id"),
            ("unk", "tokenizer.ggml.unknown_token_id"),
            ("pad", "tokenizer.ggml.padding_token_id"),
        )
        if key in metadata
    }
    if add_bos:
        _begin_with(tokenizer, special["bos_token"], metadata["tokenizer.ggml.bos_token_id"])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, chat_template=metadata.get("tokenizer.chat_template"), **special
    )
    fast.save_pretrained(str(folder))
    return add_bos


def merges_by_rank(tokens: Sequence[str], rank: Mapping[str, float]) -> list[tuple[str, str]]:
    """Every pair of tokens that joins to a token, best first: by the joined token's ``rank``, lowest first.

    >>> merges_by_rank(["a", "b", "c", "ab", "abc"], {"ab": 3, "abc": 4})
    [('a', 'b'), ('ab', 'c')]
    """
    known = set(tokens)
    found = [
        (rank[token], at, token)
        for token in tokens
        if token in rank
        for at in range(1, len(token))
        if token[:at] in known and token[at:] in known
    ]
    found.sort(key=lambda merge: merge[:2])
    return [(token[:at], token[at:]) for _, at, token in found]


def _sentencepiece(metadata: Mapping[str, Any], tokens: Sequence[str]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
    from tokenizers.models import BPE

    gemma = str(metadata.get("general.architecture")).startswith("gemma")
    if gemma:
        # Gemma's runs of spaces are stored as spaces, and its scores do not follow its merges: the file's order does.
        tokens = [SPACE * len(token) if token and not token.strip(" ") else token for token in tokens]
        rank: dict[str, float] = {token: index for index, token in enumerate(tokens)}
    else:
        rank = {token: -score for token, score in zip(tokens, metadata["tokenizer.ggml.scores"], strict=True)}
    unknown = tokens[metadata.get("tokenizer.ggml.unknown_token_id", 0)]
    tokenizer = Tokenizer(
        BPE(
            vocab={token: index for index, token in enumerate(tokens)},
            merges=merges_by_rank(tokens, rank),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if metadata.get("tokenizer.ggml.add_space_prefix", True):
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
        steps.append(decoders.Strip(content=" ", left=1))
    else:
        tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    if gemma:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def _byte_level(metadata: Mapping[str, Any], tokens: Sequence[str]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
    from tokenizers.models import BPE

    name = metadata.get("tokenizer.ggml.pre", "default")
    if name not in SPLITS:
        raise UserError(
            f"the GGUF file cuts text by the rule {name!r}; known are {', '.join(SPLITS)}.{nearest(name, SPLITS)} "
            "Name the original transformers folder or hub id instead."
        )
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    steps = [pre_tokenizers.Digits(individual_digits=True)] if name == "smollm" else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *steps,
            pre_tokenizers.Split(Regex(SPLITS[name]), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _add_marked(tokenizer: Tokenizer, tokens: Sequence[str], kinds: Sequence[int]) -> None:
    """Control tokens become special; user-defined ones are matched whole in text."""
    from tokenizers import AddedToken

    vocabulary = tokenizer.get_vocab()
    marked = [(token, kind) for token, kind in zip(tokens, kinds, strict=False) if token in vocabulary]
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t, kind in marked if kind == CONTROL]
    )
    tokenizer.add_tokens(
        [AddedToken(t, special=False, normalized=False) for t, kind in marked if kind == USER_DEFINED and t != SPACE]
    )


def _begin_with(tokenizer: Tokenizer, bos: str, bos_id: int) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer.post_processor = TemplateProcessing(
        single=f"{bos}:0 $A:0", pair=f"{bos}:0 $A:0 {bos}:1 $B:1", special_tokens=[(bos, bos_id)]
    )
