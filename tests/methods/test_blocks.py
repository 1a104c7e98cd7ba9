"""The table of decoder blocks against the models themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from methods._blocks import FAMILIES, family
from methods.base import Source, UnsupportedModel


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_the_table_names_every_linear_of_a_block(name: str, tmp_path: Path, tiny_source: Callable[..., Source]) -> None:
    source = tiny_source(name, tmp_path)
    kind = family(source.config)
    block = source.model().get_submodule(kind.blocks)[0]
    linears = {key for key, module in block.named_modules() if isinstance(module, nn.Linear)}
    assert set(kind.linears) == linears
    assert set(kind.mlp.__dict__.values()) <= linears | {"mlp"}
    for group in kind.groups:
        block.get_submodule(group.fold), block.get_submodule(group.inspected)
        assert kind.group_of(group.reads) is group
        assert group.folds_into_norm != (group.fold in linears)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_norm_adds_one_says_what_the_norm_does(name: str, tmp_path: Path, tiny_source: Callable[..., Source]) -> None:
    source = tiny_source(name, tmp_path)
    norm = source.model().get_submodule(family(source.config).blocks)[0].input_layernorm
    with torch.no_grad():
        norm.weight.zero_()
        silent = float(norm(torch.ones(1, 1, norm.weight.numel())).abs().sum()) == 0
    assert silent != family(source.config).norm_adds_one


def test_an_unknown_architecture_is_named_with_those_known() -> None:
    with pytest.raises(UnsupportedModel) as problem:
        family({"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"]})
    for word in ("gpt_neox", "GPTNeoXForCausalLM", "gemma2, gemma3_text, llama, mistral, qwen2, qwen3"):
        assert word in str(problem.value)


def test_gemma_3_with_images_is_refused_with_the_way_out() -> None:
    with pytest.raises(UnsupportedModel, match=r"image encoder.*gemma3_text"):
        family({"model_type": "gemma3"})


def test_a_config_without_a_model_type_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="no architecture named"):
        family({})
