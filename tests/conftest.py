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


GATED = {"none": {}, "rtn": {"bits": 4}, "awq": {"bits": 4}}
LOST = {"none": 0.0, "rtn": 12.0, "awq": 6.0}
"""Bits per sentence that a method loses in every language of a made-up run."""


@pytest.fixture
def gate_run(tmp_path, monkeypatch):
    """``gate_run(name, worse={("awq", "ko"): 2.0})``: a made-up run of perplexity, items and sizes, and its folder."""
    import numpy as np

    from results.cell import Cell, Variant
    from results.environment import Environment
    from results.estimate import Estimate, Sample
    from results.record import Record
    from results.statistics import cluster_mean, ratio_jackknife
    from results.store import Run

    monkeypatch.setattr("results.files.os.fsync", lambda descriptor: None)  # nobody pulls the plug on these

    def make(
        name="run",
        worse=None,
        noise=0.2,
        languages=("en", "ko", "ja"),
        passages=16,
        methods=("none", "rtn", "awq"),
        failed=(),
        weights="f" * 32,
        text="t",
        size=1000.0,
        seed=0,
        libraries=None,
        variant=None,
        cell=None,
        notes=None,
    ) -> Path:
        folder = tmp_path / name
        libraries = {"torch": "2.13.0", "numpy": "2.4.0"} if libraries is None else libraries
        with Run.open(folder, write=True) as run:
            environment = run.add_environment(Environment("3.11", "Linux-x86_64", "a processor", 2, {}, libraries))

            def keep(made, task, language, estimates, samples=(), params=None):
                where = Cell(made, task, 1, language, f"{text}-{language}", params or {}, **(cell or {}))
                if (made.method, language) in failed:
                    run.append(Record(where, "failed", reason="out of memory", environment=environment))
                    return
                kept = {"artifact": digest(made.method), "environment": environment, "notes": notes or {}}
                run.append(Record(where, "ok", estimates, created="2026-11-01T00:00:00+00:00", **kept), samples)

            for method in methods:
                made = Variant("tiny", weights, method, GATED[method], **(variant or {}))
                bytes_kept = size * (1 if method == "none" else 0.3)
                keep(made, "footprint", "und", {"total_bytes": Estimate(bytes_kept)})
                for language in languages:
                    base = np.random.default_rng([1, *language.encode()])
                    drawn = max(passages, 16)  # fewer are the first of them
                    tokens = base.integers(100, 140, drawn).astype(float)[:passages]
                    nats = tokens * base.normal(3.0, 0.2, drawn)[:passages]
                    own = np.random.default_rng([seed, *method.encode(), *language.encode()])
                    extra = LOST[method] + (worse or {}).get((method, language), 0.0) * own.normal(1, noise, passages)
                    nats = nats + 5 * np.log(2) * extra
                    samples = [
                        Sample(
                            f"{text}-{language}-{i}",
                            f"passage-{i:02d}",
                            {"nats": float(nats[i]), "tokens": float(tokens[i]), "bytes": 400.0, "sentences": 5.0},
                        )
                        for i in range(passages)
                    ]
                    estimates = {
                        "nats_per_token": ratio_jackknife(nats, tokens),
                        "perplexity": ratio_jackknife(nats, tokens, "exp"),
                        "bits_per_sentence": ratio_jackknife(nats / np.log(2), np.full(passages, 5.0)),
                    }
                    params = {"corpus": "bundled", "protocol": "rolling"}
                    keep(made, "perplexity", language, estimates, samples, params)
                    right = base.integers(0, 2, 12).astype(float)
                    items = [
                        Sample(f"{text}-{language}-item-{i}", f"{i // 2}#{i % 2}", {"correct": right[i]})
                        for i in range(12)
                    ]
                    mean = cluster_mean(right, [i // 2 for i in range(12)]).interval()
                    keep(made, "zeroshot", language, {"accuracy": mean}, items, {"tasks": "items_{language}"})
        return folder

    def digest(text):
        return (text * 32).encode().hex()[:32]

    return make


@pytest.fixture(scope="session")
def gate_cells_made():
    return {}


@pytest.fixture
def gate_cells(gate_run, gate_cells_made):
    """The same run as the cells a gate compares; equal runs are made once, for nothing changes cells."""
    from results.comparison_cells import from_run
    from results.store import Run

    def make(**options):
        key = repr(options)
        if key not in gate_cells_made:
            gate_cells_made[key] = tuple(from_run(Run.open(gate_run(f"cells-{len(gate_cells_made)}", **options))))
        return gate_cells_made[key]

    return make
