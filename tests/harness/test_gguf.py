"""Tiny GGUF files, written with llama.cpp's own library and llama.cpp's conventions, and read back."""

from __future__ import annotations

import json

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from harness import bundled
from harness import gguf as ours
from harness.checkpoints import pinned
from harness.config import construct, parse_config
from harness.models import check_bos, resolve
from harness.problems import UserError
from methods import artifact
from methods._flops import cost

NAMES = {theirs: mine for mine, theirs in ours.BLOCK_NAMES.items()}
TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", "a", "b", "c", "ab", "▁ab", "  ", "<0x41>"]


def permuted(weight, heads):
    """As llama.cpp's converter does it: the rows of the two halves of each head take turns."""
    return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def write(path, folder, architecture, kind=gguf.GGMLQuantizationType.F32, tokens=None, **metadata):
    config = json.loads((folder / "config.json").read_text())
    family = ours.FAMILIES[architecture]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(8)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(10000.0 if not family.gemma or architecture == "gemma2" else 1e6)
    if family.gemma:
        writer.add_sliding_window(config["sliding_window"])
    if architecture == "gemma2":
        writer.add_attn_logit_softcapping(5.0)
        writer.add_final_logit_softcapping(3.0)
    tokens = tokens or [*TOKENS, *(f"<unused{n}>" for n in range(96 - len(TOKENS)))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(n) for n in range(len(tokens))])
    writer.add_token_types(
        [3 if t.startswith("<unused") or n < 4 else 6 if t == "<0x41>" else 1 for n, t in enumerate(tokens)]
    )
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_add_space_prefix(False)
    for key, value in {"tokenizer.ggml.add_bos_token": True, **metadata}.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        else:
            writer.add_string(key, value)
    norms = {v: k for k, v in (ours.GEMMA_NORMS if family.gemma else ours.NORMS).items()}
    top = {v: k for k, v in ours.TOP_NAMES.items()}
    for name, tensor in load_file(folder / "model.safetensors").items():
        stem, _, suffix = name.rpartition(".")
        if stem in top:
            new = f"{top[stem]}.{suffix}"
        else:
            _, _, block, part = stem.split(".", 3)
            new = f"blk.{block}.{(NAMES | norms)[part]}.{suffix}"
        if family.gemma and new.endswith("norm.weight"):
            tensor = tensor + 1
        if family.permuted and ".attn_q." in new:
            tensor = permuted(tensor, config["num_attention_heads"])
        if family.permuted and ".attn_k." in new:
            tensor = permuted(tensor, config["num_key_value_heads"])
        data, stored = tensor.float().numpy(), kind if tensor.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(new, gguf.quantize(data, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


MODELS = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma2": "gemma2", "gemma3": "gemma3_text"}


@pytest.fixture
def file(tiny_folder, tmp_path):
    def make(architecture="llama", **options):
        # a GGUF file of Gemma 3 does not say which layers see everything: it is every sixth
        six = {"num_hidden_layers": 6, "layer_types": [*["sliding_attention"] * 5, "full_attention"]}
        folder = tiny_folder(MODELS[architecture], **(six if architecture == "gemma3" else {}))
        return write(tmp_path / f"{architecture}.gguf", folder, architecture, **options), folder

    return make


@pytest.mark.parametrize("architecture", MODELS)
def test_every_family_comes_back_as_it_was(file, tmp_path, architecture):
    from transformers import AutoModelForCausalLM

    path, folder = file(architecture)
    found = resolve(str(path), tmp_path / "cache", "float32", "cpu").source
    ours_, theirs = load_file(found.folder / "model.safetensors"), load_file(folder / "model.safetensors")
    assert set(ours_) == set(theirs)
    for name, tensor in theirs.items():
        assert torch.equal(ours_[name], tensor.to(torch.bfloat16)), name
    original = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        for weight in original.parameters():
            weight.copy_(weight.bfloat16())
    ids = torch.arange(4, 30)[None]
    with torch.inference_mode():
        assert torch.allclose(found.model()(ids).logits, original(ids).logits, atol=1e-4)


@pytest.mark.parametrize("kind", ["Q8_0", "F16", "BF16", "Q4_0"])
def test_stored_types_are_dequantized(file, tmp_path, kind):
    kind = gguf.GGMLQuantizationType[kind]
    path, folder = file("qwen3", kind=kind)
    found = resolve(str(path), tmp_path / "cache").source
    original = load_file(folder / "model.safetensors")["model.embed_tokens.weight"].float().numpy()
    expected = gguf.dequantize(gguf.quantize(original, kind), kind).astype(np.float32)
    made = load_file(found.folder / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(made, torch.from_numpy(expected).bfloat16())


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_a_quantized_file_is_a_variant_at_its_own_bytes(file, tmp_path, architecture):
    """As a checkpoint it gives the weights that it gives as an original, and weighs what its tensors weigh."""
    path, folder = file(architecture, kind=gguf.GGMLQuantizationType.Q8_0)
    method = {"name": "checkpoint", "path": str(path)}
    config = parse_config({"method": [method], "task": [{"name": "footprint"}]}, "here")
    (pinned_,) = pinned(config, tmp_path / "cache").methods
    made = construct(pinned_).compress(resolve(str(folder), tmp_path / "cache").source, None, tmp_path / "a")
    assert made.notes["checkpoint"] == f"not made here, but taken from {path.name}"
    read = artifact.load(tmp_path / "a", "bfloat16").state_dict()
    for name, tensor in load_file(resolve(str(path), tmp_path / "cache").source.folder / "model.safetensors").items():
        assert torch.equal(read[name], tensor), name
    found = artifact.weigh(tmp_path / "a")
    stored = {tensor.name: int(tensor.n_bytes) for tensor in gguf.GGUFReader(path).tensors}
    assert found.total == sum(stored.values())
    assert found.embeddings == stored["token_embd.weight"]
    assert found.bits_per_weight == 8.5  # 32 weights and a float16 scale
    parameters = sum(p.numel() for p in resolve(str(folder), tmp_path / "cache").source.model().parameters())
    assert found.parameters == found.parameters_kept == parameters
    assert sum(cost(tmp_path / "a", 8).flops.values()) == sum(cost_of_original(folder, tmp_path).values())


def cost_of_original(folder, tmp_path):
    from methods.none import Uncompressed

    Uncompressed().compress(resolve(str(folder), tmp_path / "cache").source, None, tmp_path / "none")
    return cost(tmp_path / "none", 8).flops


@pytest.mark.parametrize("asked", [True, False])
def test_bos_is_added_as_the_file_says(file, tmp_path, asked):
    path, _ = file(**{"tokenizer.ggml.add_bos_token": asked})
    found = resolve(str(path), tmp_path / "cache")
    ids = found.source.tokenizer()("ab")["input_ids"]
    assert ids == ([2, 8] if asked else [8])
    assert check_bos(found.source) == ("added by the tokenizer: '<bos>', id 2" if asked else "not added")


def test_a_tokenizer_that_does_otherwise_is_refused(file, tmp_path):
    path, _ = file()
    found = resolve(str(path), tmp_path / "cache").source
    origin = json.loads((found.folder / bundled.ORIGIN).read_text())
    (found.folder / bundled.ORIGIN).write_text(json.dumps({**origin, "add_bos": False}))
    with pytest.raises(UserError, match="begins a text with BOS and its GGUF file says otherwise"):
        check_bos(resolve(str(path), tmp_path / "cache").source)


@pytest.mark.parametrize(("architecture", "expected"), [("llama", [9, 5, 4, 4, 5]), ("gemma3", [9, 5, 10, 5])])
def test_sentencepiece_merges_and_spaces(file, tmp_path, architecture, expected):
    path, _ = file(architecture)
    tokenizer = resolve(str(path), tmp_path / "cache").source.tokenizer()
    assert tokenizer(" aba  a", add_special_tokens=False)["input_ids"] == expected
    assert tokenizer.decode(expected) == " aba  a"
    assert tokenizer("A<bos>", add_special_tokens=False)["input_ids"] == [11, 2]


def test_a_byte_level_tokenizer(tmp_path):
    from harness.gguf_tokenizer import save_tokenizer

    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": ["a", "b", "ab", "Ġ", "Ġab", "1", "<s>", "11"],
        "tokenizer.ggml.token_type": [1, 1, 1, 1, 1, 1, 3, 1],
        "tokenizer.ggml.merges": ["a b", "Ġ ab", "1 1"],
        "tokenizer.ggml.bos_token_id": 6,
    }
    from transformers import PreTrainedTokenizerFast

    assert save_tokenizer(metadata, tmp_path) is False
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert tokenizer("ab ab11")["input_ids"] == [2, 4, 7]
    assert tokenizer.decode([2, 4]) == "ab ab"
    save_tokenizer({**metadata, "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.add_bos_token": True}, tmp_path)
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path)("ab11")["input_ids"] == [6, 2, 5, 5]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tokenizer.ggml.model": "bert"}, "tokenizer is of kind 'bert'; known are 'llama'"),
        ({"tokenizer.ggml.pre": "qwen3"}, r"cuts text by the rule 'qwen3'; known are gpt-2, .* Did you mean 'qwen2'\?"),
    ],
)
def test_unknown_tokenizers(tmp_path, changed, message):
    from harness.gguf_tokenizer import save_tokenizer

    with pytest.raises(UserError, match=message):
        save_tokenizer({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a"], **changed}, tmp_path)


def test_an_unknown_architecture(file, tmp_path, monkeypatch):
    path, _ = file("gemma3")
    monkeypatch.delitem(ours.FAMILIES, "gemma3")
    with pytest.raises(UserError, match=r"holds architecture 'gemma3'; known are .*gemma2. Did you mean 'gemma2'\?"):
        resolve(str(path), tmp_path / "cache")


def test_scaled_rotary_frequencies_are_refused(file, tmp_path):
    path, _ = file(**{"llama.rope.scaling.type": "yarn"})
    with pytest.raises(UserError, match="scales its rotary frequencies"):
        resolve(str(path), tmp_path / "cache")


@pytest.mark.parametrize("keep", [3, 100, 2000, -100])
def test_a_file_cut_short_is_refused_and_leaves_nothing(file, tmp_path, keep):
    path, _ = file()
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"is cut short|is no GGUF file"):
        resolve(str(path), tmp_path / "cache")
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_the_folder_is_made_once(file, tmp_path, monkeypatch):
    path, _ = file()
    before = resolve(str(path), tmp_path / "cache").source
    monkeypatch.setattr(ours, "convert", None)
    assert resolve(str(path), tmp_path / "cache").source == before


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("how", ["cut", "altered", "removed"])
def test_a_damaged_folder_is_made_again(file, tmp_path, name, how):
    path, _ = file()
    before = resolve(str(path), tmp_path / "cache").source
    damaged = before.folder / name
    content = damaged.read_bytes()
    if how == "cut":
        damaged.write_bytes(content[:-20])
    elif how == "altered":
        damaged.write_bytes(content.replace(b"10000.0", b"20000.0") if name == "config.json" else content[:-3] + b"xyz")
    else:
        damaged.unlink()
    after = resolve(str(path), tmp_path / "cache").source
    assert after == before
    assert damaged.read_bytes() == content


def test_large_files_are_cut_into_shards(file, tmp_path, monkeypatch):
    monkeypatch.setattr(ours, "SHARD_BYTES", 10_000)
    path, _ = file()
    found = resolve(str(path), tmp_path / "cache", "float32").source
    assert len(list(found.folder.glob("*.safetensors"))) > 2
    found.model()


def test_a_disk_without_room(file, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    path, _ = file()
    monkeypatch.setattr(ours, "convert", full)
    with pytest.raises(UserError, match=r"cannot be kept under .*models: No space left on device. Make room there"):
        resolve(str(path), tmp_path / "cache")
