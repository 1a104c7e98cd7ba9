"""Operations and bytes per token: against torch's own counter on models that run, and against published tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from methods import artifact, load
from methods._blocks import FAMILIES, family
from methods._flops import PARTS, flops
from methods.base import Calibration, Source, UnsupportedModel

Make = Callable[..., Source]


def counted_by_torch(model: Any, context: int) -> float:
    """Operations of one token that sees ``context`` tokens, itself among them; rotary frequencies, a product of a
    column and a row, taken out."""
    ids = torch.arange(context)[None] % 90 + 4
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        cache = model(ids[:, :-1], use_cache=True).past_key_values
        with FlopCounterMode(display=False) as counter:
            model(ids[:, -1:], past_key_values=cache, use_cache=True)
    found = counter.get_flop_counts()
    rotary = sum(sum(counts.values()) for name, counts in found.items() if name.endswith("rotary_emb"))
    return counter.get_total_flops() - rotary


@pytest.mark.parametrize(("name", "grouped"), [*((name, True) for name in sorted(FAMILIES)), ("llama", False)])
def test_dense_and_factored_models_take_what_torch_counts(
    name: str, grouped: bool, tiny_source: Make, tmp_path: Path
) -> None:
    source = tiny_source(name, tmp_path / "m", grouped=grouped, tied=grouped)
    text = Calibration(torch.randint(4, 90, (4, 32)), ("en",) * 4, {"en": 1.0}, "f")
    makers: dict[str, Any] = {
        "none": load("none")(),
        "svd": load("svd")(keep=0.5, scope="all_linear", rank_multiple=1, min_break_even=0),
        "activation_svd": load("activation_svd")(keep=0.4, stack=True, rank_multiple=1, min_break_even=0),
    }
    totals = []
    for method, maker in makers.items():
        folder = maker.compress(source, text if maker.needs else None, tmp_path / method).folder
        for context in (5, 21) if method == "none" else (21,):  # within Gemma's sliding window of 8, and beyond it
            found = artifact.cost(folder, context).flops
            assert tuple(found) == PARTS
            assert sum(found.values()) == counted_by_torch(artifact.load(folder), context)
        totals.append(sum(found.values()))
    assert totals[0] > max(totals[1:])


def shaped(kind: str, **sizes: Any) -> tuple[Any, dict[str, tuple[int, int]], int]:
    """Config, linears and number of parameters of a published shape, without memory for it."""
    config = CONFIG_MAPPING[kind](**sizes)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    linears = {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    return config, linears, sum(parameter.numel() for parameter in model.parameters())


LLAMA_2_7B = {"vocab_size": 32000}  # all else is transformers' default


def test_a_published_table_of_operations_in_attention_follows() -> None:
    """Ha and Jeon (KICS): 5, 10 and 15% removed from Llama-2-7B leave 0.84, 0.69 and 0.53 of attention's operations.

    Removed is a share of all parameters, taken from q, k, v and o alone.
    """
    config, dense, parameters = shaped("llama", **LLAMA_2_7B)
    assert parameters == 6_738_415_616
    attention = {name: shape for name, shape in dense.items() if "self_attn" in name}
    whole = flops(config, dense, {}, 1)["projection"]
    assert whole == 2 * 2_147_483_648 == 2 * sum(map(math.prod, attention.values()))
    found = []
    for removed in (0.05, 0.10, 0.15):
        rank = math.floor((1 - removed * parameters / (whole / 2)) * 2048)  # 2048 breaks even at 4096 by 4096
        halves = {
            "first": {"in_features": 4096, "out_features": rank},
            "second": {"in_features": rank, "out_features": 4096},
        }
        specs = {name: {"kind": "factored", "in_features": 4096, "out_features": 4096, **halves} for name in attention}
        rest = {name: shape for name, shape in dense.items() if name not in attention}
        found.append((rank, round(flops(config, rest, specs, 1)["projection"] / whole, 3)))
    assert found == [(1726, 0.843), (1405, 0.686), (1084, 0.529)]


@pytest.mark.parametrize(
    ("kind", "sizes", "share"),
    [
        (
            "llama",
            {"vocab_size": 128256, "intermediate_size": 14336, "num_key_value_heads": 8, "num_hidden_layers": 32},
            0.167,
        ),
        (
            "qwen2",
            {
                "vocab_size": 151936,
                "hidden_size": 896,
                "intermediate_size": 4864,
                "num_hidden_layers": 24,
                "num_attention_heads": 14,
                "num_key_value_heads": 2,
                "tie_word_embeddings": True,
            },
            0.089,
        ),
        ("gemma2", {}, 0.141),
    ],
    ids=["Llama-3.1-8B", "Qwen2.5-0.5B", "Gemma-2-2b"],
)
def test_attention_s_share_of_the_parameters_of_models_with_few_key_value_heads(
    kind: str, sizes: dict[str, Any], share: float
) -> None:
    config, dense, parameters = shaped(kind, **sizes)
    assert flops(config, dense, {}, 1)["projection"] / 2 / parameters == pytest.approx(share, abs=5e-4)


def test_bytes_are_those_stored_and_shared_by_a_batch(tiny_source: Make, tmp_path: Path) -> None:
    source = tiny_source("qwen2", tmp_path / "m")
    folder = load("rtn")(granularity="group:32").compress(source, None, tmp_path / "a").folder
    alone, four = (artifact.cost(folder, 10, batch, torch.bfloat16) for batch in (1, 4))
    attention = 64 * 64 + 2 * 64 * 32 + 64 * 64
    biases = 4 * (64 + 32 + 32)
    codes_scales_zeros = attention // 2 + attention // 32 * 2 + attention // 32 // 2
    assert alone.bytes["projection"] == 2 * (codes_scales_zeros + biases)
    assert alone.bytes["head"] == 4 * 96 * 64
    assert alone.bytes["attention"] == four.bytes["attention"] == 2 * (2 * 2 * 16 * 10 * 2)
    assert four.bytes["mlp"] == alone.bytes["mlp"] / 4
    assert (
        four.flops
        == alone.flops
        == artifact.cost(load("none")().compress(source, None, tmp_path / "n").folder, 10).flops
    )


def test_another_architecture_is_named(tiny_source: Make, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="Model type 'gpt2'"):
        flops(CONFIG_MAPPING["gpt2"](), {}, {}, 1)
    assert family({"model_type": "llama"})
