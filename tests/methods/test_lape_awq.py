"""LAPE-AWQ: what is kept is the scaled original, all else is AWQ's artifact, and controls differ in indices alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from methods import _awq, _awq_block, _moments, artifact
from methods._awq import recall, remembered_in
from methods._awq_search import Found
from methods._blocks import FAMILIES, family
from methods._lape import firing, select
from methods._shards import Shards
from methods._walk import walk
from methods.awq import Awq
from methods.base import Calibration, Source
from methods.lape_awq import KEPT, LapeAwq

Make = Callable[..., Source]
Llama = tuple[Source, Calibration]
SMALL: dict[str, Any] = {"granularity": "group:32", "grid": 4, "clip_grid": 3}
TOP = {"top": 0.06}
MLP = {"mlp.gate_proj": "rows", "mlp.up_proj": "rows", "mlp.down_proj": "columns"}


def text(cache: Path | None = None, languages: tuple[str, ...] = ("en", "ko"), counted: int = 3) -> Calibration:
    """Two sequences of each of two languages, and ``counted`` of each of ``languages`` to count on."""
    seeded = torch.Generator().manual_seed(1)
    width = 92 // len(languages)

    def tokens(count: int, codes: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
        lowest = range(4, 4 + len(codes) * width, width)  # languages that share no token
        drawn = torch.cat([torch.randint(low, low + width, (count, 24), generator=seeded) for low in lowest])
        drawn[:, 0] = 2
        return drawn, tuple(code for code in codes for _ in range(count))

    counting, spoken = tokens(counted, languages)
    shares = dict.fromkeys(languages, 1 / len(languages))
    firing = Calibration(counting, spoken, shares, "counted", cache=cache)
    drawn, spoken = tokens(2, ("en", "ko"))
    return Calibration(drawn, spoken, {"en": 0.5, "ko": 0.5}, "both", cache=cache, firing=firing)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory, tiny_source: Make) -> Llama:
    """A model and text in three languages whose searches and counts are remembered for all tests that take it."""
    folder = tmp_path_factory.mktemp("llama")
    return tiny_source("llama", folder / "m"), text(folder / "cache", ("en", "ja", "ko"))


def make(source: Source, data: Calibration, folder: Path, **options: Any) -> Path:
    LapeAwq(**(SMALL | TOP | options)).compress(source, data, folder)
    return folder


def weights(folder: Path) -> dict[str, Tensor]:
    return artifact.load(folder).state_dict()


def own(source: Source, data: Calibration, language: str = "ko") -> tuple[Tensor, ...]:
    assert data.firing is not None
    return select(firing(source, data.firing), **TOP).neurons[language]


def indices(folder: Path) -> dict[str, list[int]]:
    """Layer -> what is kept, as stored."""
    found = artifact.read_manifest(folder)
    files = {name: folder / entry["file"] for name, entry in found.tensors.items() if name.endswith(".index")}
    from safetensors import safe_open

    kept = {}
    for name, path in files.items():
        with safe_open(str(path), "pt") as file:
            kept[name.removesuffix(".index")] = file.get_tensor(name).tolist()
    return kept


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_kept_vectors_are_the_scaled_originals_and_all_else_is_awq(
    name: str, tmp_path: Path, tiny_source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The originals are scaled here by hand, from what the search remembered: gate and up by s of their input and up
    by 1 / s of down's, down by its s. They lie beyond the clip limits in places. (s of r = 0.75 is made to win: on
    random weights it is 1.)"""
    monkeypatch.setattr(_awq_block, "search_scale", lambda weight, pairs, *_: Found(pairs[3][1], pairs[3][0], 0.0, 0.0))
    source, data = tiny_source(name, tmp_path / "m"), text(tmp_path / "cache")
    Awq(**SMALL).compress(source, data, tmp_path / "awq")
    ours, theirs = weights(make(source, data, tmp_path / "kept")), weights(tmp_path / "awq")
    folder, shards = remembered_in(source, data, Awq(**SMALL)), Shards(source.folder)
    beyond = 0
    for index, neurons in enumerate(own(source, data)):
        assert len(neurons)
        found, prefix = recall(folder, index), f"model.layers.{index}"
        assert found is not None
        into, out = found.scales["gate_up"], found.scales["down"]
        if not family(source.config).norm_adds_one:  # a plain gain is rounded to its type, and s makes that good
            gain = shards[f"{prefix}.post_attention_layernorm.weight"]
            into = gain / (gain / into)
        scaled = {
            "mlp.gate_proj": shards[f"{prefix}.mlp.gate_proj.weight"] * into,
            "mlp.up_proj": shards[f"{prefix}.mlp.up_proj.weight"] * into / out[:, None],
            "mlp.down_proj": (shards[f"{prefix}.mlp.down_proj.weight"] * out).T,
        }
        for linear, axis in MLP.items():
            key = f"{prefix}.{linear}.weight"
            got, image = (w[key] if axis == "rows" else w[key].T for w in (ours, theirs))
            torch.testing.assert_close(got[neurons], scaled[linear][neurons], rtol=2**-10, atol=1e-7)
            others = torch.ones(len(got), dtype=torch.bool)
            others[neurons] = False
            assert torch.equal(got[others], image[others])
            assert not torch.equal(got[neurons], image[neurons])
            limit = found.limits[linear].repeat_interleave(32, 1)
            limit = limit if axis == "rows" else limit.T
            beyond += int((scaled[linear].abs() > 1.01 * limit)[neurons].sum())
    assert beyond
    rest = [key for key in theirs if not key.removesuffix(".weight").endswith(tuple(MLP))]
    assert all(torch.equal(ours[key], theirs[key]) for key in rest)


@pytest.mark.parametrize("options", [{}, {"symmetric": True, "panel": "int8"}, {"bits": 3, "granularity": "row"}])
def test_carved_and_additive_give_the_same_weights(options: dict[str, Any], tmp_path: Path, tiny_source: Make) -> None:
    source, data = tiny_source("qwen2", tmp_path / "m"), text(tmp_path / "cache")
    additive, carved = (make(source, data, tmp_path / str(carve), carve=carve, **options) for carve in (False, True))
    ours, theirs = weights(additive), weights(carved)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    packed = artifact.load(carved, materialize=False)
    ids = data.tokens
    assert torch.equal(packed(ids).logits, artifact.load(carved)(ids).logits)
    more, less = artifact.weigh(additive), artifact.weigh(carved)
    kept, rows = sum(map(len, own(source, data))), 64 if options.get("granularity") == "row" else 32
    bits = options.get("bits", 4)
    assert more.side == less.side == json.loads((additive / KEPT).read_text())["panel_bytes"]
    # rows of gate and up are gone whole; of down's columns the codes, each row filled up to a byte
    assert more.codes - less.codes == pytest.approx(kept * 3 * 64 * bits / 8, abs=2 * 64)
    zeros = 0 if options.get("symmetric") else bits / 8
    assert more.scales - less.scales == pytest.approx(kept * 2 * (64 / rows) * (2 + zeros), abs=4)


def test_bytes_of_panels_are_those_of_index_and_vectors(tmp_path: Path, llama: Llama) -> None:
    source, data = llama
    kept = sum(map(len, own(source, data)))
    sizes = {"float16": 2 + 128, "bfloat16": 2 + 128, "int8": 2 + 64 + 4}
    for panel, size in sizes.items():
        folder = make(source, data, tmp_path / panel, panel=panel)
        assert artifact.weigh(folder).side == 3 * kept * size
    assert artifact.weigh(make(source, data, tmp_path / "down", keep="down")).side == kept * 130
    assert artifact.weigh(make(source, data, tmp_path / "two", keep="gate+up")).side == 2 * kept * 130
    assert set(json.loads((tmp_path / "two" / KEPT).read_text())["vectors"]) == {"mlp.gate_proj", "mlp.up_proj"}
    awq = weights(tmp_path / "down")["model.layers.0.mlp.up_proj.weight"]
    assert torch.equal(awq, artifact.load(tmp_path / "down", "float32").model.layers[0].mlp.up_proj.weight)


def test_all_variants_share_one_search(tmp_path: Path, tiny_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWQ's own calibration has another fingerprint, without the text for counting; it is the same text."""
    source, data, searched, passes = tiny_source("llama", tmp_path / "m"), text(tmp_path / "cache"), [], []
    search = _awq.search_block
    monkeypatch.setattr(_awq, "search_block", lambda block, *rest: searched.append(block.index) or search(block, *rest))
    monkeypatch.setattr(_moments, "walk", lambda *args: passes.append(1) or walk(*args))
    Awq(**SMALL).compress(source, replace(data, firing=None, fingerprint="text alone"), tmp_path / "awq")
    notes = (tmp_path / "awq" / _awq.SEARCH).read_text()
    for control in ("none", "random", "language:en", "activation", "error"):
        folder = make(source, data, tmp_path / control.replace(":", "-"), control=control)
        assert (folder / _awq.SEARCH).read_text() == notes
    assert searched == [0, 1]
    assert passes == [1]
    make(source, data, tmp_path / "finer", grid=5)
    assert searched == [0, 1, 0, 1]


@pytest.mark.parametrize("damage", ["altered", "cut", "notes"])
def test_a_damaged_search_is_made_again(
    damage: str, tmp_path: Path, tiny_source: Make, caplog: pytest.LogCaptureFixture
) -> None:
    source, data = tiny_source("llama", tmp_path / "m"), text(tmp_path / "cache")
    digest = Awq(**SMALL).compress(source, data, tmp_path / "a").digest
    path = next((tmp_path / "cache").rglob("awq-*/00001.safetensors"))
    whole = path.read_bytes()
    altered = whole[:-1] + bytes([whole[-1] ^ 1])
    path.write_bytes({"altered": altered, "cut": whole[:-9], "notes": whole.replace(b"loss", b"lost")}[damage])
    assert Awq(**SMALL).compress(source, data, tmp_path / "b").digest == digest
    assert "00001.safetensors is damaged" in caplog.text
    assert recall(path.parent, 1) is not None


def test_controls_keep_as_many_in_every_block_and_others(tmp_path: Path, llama: Llama) -> None:
    source, data = llama
    kept = own(source, data)
    chosen: dict[str, dict[str, list[int]]] = {}
    for control, seed in (("none", 0), ("random", 0), ("random", 1), ("random", 2), ("language:en", 0), ("error", 0)):
        name = f"{control}-{seed}".replace(":", "-")
        chosen[name] = indices(make(source, data, tmp_path / name, control=control, control_seed=seed))
    chosen["again"] = indices(make(source, data, tmp_path / "again", control="random"))
    assert chosen["again"] == chosen["random-0"]
    assert len({json.dumps(found, sort_keys=True) for found in chosen.values()}) == len(chosen) - 1
    for block, neurons in enumerate(kept):
        for name, found in chosen.items():
            layers = [found[f"model.layers.{block}.{linear}"] for linear in MLP]
            assert layers[0] == layers[1] == layers[2] == sorted(set(layers[0]))
            assert len(layers[0]) == len(neurons)
            if name.startswith(("random", "language")):
                assert not set(layers[0]) & set(neurons.tolist())
        english = set(own(source, data, "en")[block].tolist()) - set(neurons.tolist())
        taken = set(chosen["language-en-0"][f"model.layers.{block}.mlp.up_proj"])
        assert english <= taken if len(english) <= len(neurons) else taken <= english


def test_the_most_active_are_those_of_a_plain_forward_pass(tmp_path: Path, tiny_source: Make) -> None:
    source, data, seen = tiny_source("gemma2", tmp_path / "m"), text(tmp_path / "cache"), []
    model = source.model()
    for block in model.model.layers:
        block.mlp.down_proj.register_forward_pre_hook(lambda module, args: seen.append(args[0].abs().mean((0, 1))))
    with torch.no_grad():
        model(data.tokens)
    found = indices(make(source, data, tmp_path / "a", control="activation"))
    for block, (mean, neurons) in enumerate(zip(seen, own(source, data), strict=True)):
        expected = mean.topk(len(neurons)).indices.sort().values.tolist()
        assert found[f"model.layers.{block}.mlp.down_proj"] == expected


def test_several_languages_keep_the_union(tmp_path: Path, llama: Llama) -> None:
    source, data = llama
    found = indices(make(source, data, tmp_path / "a", preserve="ko, ja"))
    both = zip(own(source, data, "ko"), own(source, data, "ja"), strict=True)
    for block, parts in enumerate(both):
        assert found[f"model.layers.{block}.mlp.gate_proj"] == sorted(set(torch.cat(parts).tolist()))


def test_what_is_kept_is_told_in_the_artifact_and_to_the_records(tmp_path: Path, llama: Llama) -> None:
    source, data = llama
    made = LapeAwq(**SMALL, **TOP, control="language:en").compress(source, data, tmp_path / "a")
    kept, counts = json.loads((tmp_path / "a" / KEPT).read_text()), [len(block) for block in own(source, data)]
    assert kept["kept_per_block"] == counts
    assert (kept["kept"], kept["neurons"]) == (sum(counts), 256)
    assert kept["tokens"] == {"en": 69, "ko": 69, "ja": 69}  # three sequences of 24 without their BOS
    assert set(kept["split_half_overlap"]) == {"ko"}
    assert 0 < kept["of_the_control_language"] <= sum(counts)
    assert made.notes == artifact.notes(tmp_path / "a")
    assert made.notes["kept"].startswith(
        f"{sum(counts)} of 256 neurons (language:en, as many as of ko) kept in float16"
    )
    assert "unstable" in made.notes["split_half_overlap"]
    by_block = json.loads(made.notes["neurons_by_block"])
    assert by_block.pop("kept") == counts
    assert by_block["ko"] == counts
    assert {language: sum(blocks) for language, blocks in by_block.items()} == kept["selected"]


def test_a_run_cut_short_gives_the_same_artifact(tmp_path: Path, tiny_source: Make) -> None:
    source, data = tiny_source("gemma3_text", tmp_path / "m"), text(tmp_path / "cache")
    method = LapeAwq(**SMALL, **TOP, control="error", carve=True)
    whole = method.compress(source, data, tmp_path / "whole")

    def killed(what: str, done: int, total: int) -> None:
        if what == "lape_awq blocks":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method.compress(source, data, tmp_path / "cut", killed)
    assert method.compress(source, data, tmp_path / "cut").digest == whole.digest


def test_linears_that_stay_as_they_are_keep_nothing(tmp_path: Path, llama: Llama) -> None:
    source, data = llama
    make(source, data, tmp_path / "a", granularity="group:128")  # divides down's 128 channels, not the others' 64
    assert {name.split(".", 3)[3] for name in indices(tmp_path / "a")} == {"mlp.down_proj"}
    assert json.loads((tmp_path / "a" / KEPT).read_text())["vectors"] == {"mlp.down_proj": "columns"}
    assert artifact.weigh(tmp_path / "a").side == json.loads((tmp_path / "a" / KEPT).read_text())["panel_bytes"]


# Bad input


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"preserve": "xx"}, r"preserve='xx' names the language 'xx', in which .* counted are en, ja, ko\. Give"),
        ({"preserve": "ko-KR"}, r"Did you mean 'ko'\?"),
        ({"control": "language:xx"}, r"control='language:xx' names the language 'xx', in which no neurons"),
        ({"top": 0.6}, r"top=0.6 asks for 154 of 256 neurons, but only \d+ fire"),
    ],
)
def test_a_wrong_request_is_a_sentence(options: dict[str, Any], sentence: str, tmp_path: Path, llama: Llama) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(*llama, tmp_path / "a", **options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"preserve": ""}, "preserve='': name each language once"),
        ({"preserve": "ko,ko"}, "name each language once"),
        ({"keep": "up"}, r"keep='up': allowed are 'gate\+up\+down', 'gate\+up', 'down'"),
        ({"panel": "fp16"}, "panel='fp16': allowed are 'float16', 'bfloat16', 'int8'"),
        ({"control": "randon"}, "control='randon': allowed are .*Did you mean 'random'"),
        ({"control": "language:"}, "control='language:': allowed are"),
        ({"control": "language:ko"}, "control='language:ko' is preserved: name another language"),
        ({"control_seed": -1}, "control_seed=-1: allowed are whole numbers from 0"),
        ({"carve": 1}, "carve=1: allowed are true and false"),
        ({"top": 1.0}, r"top=1.0: allowed are numbers between 0 and 1"),
        ({"bits": 5}, "bits=5: allowed are 2, 3, 4, 8"),
    ],
)
def test_wrong_parameters_are_sentences(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LapeAwq(**options)


def test_missing_text_is_a_sentence(tmp_path: Path, llama: Llama) -> None:
    source, data = llama
    with pytest.raises(ValueError, match=r"lape_awq needs calibration text.*\[calibration\]"):
        LapeAwq().compress(source, None, tmp_path / "a")
    with pytest.raises(ValueError, match=r"on which tokens neurons fire.*was given no such text"):
        LapeAwq().compress(source, replace(data, firing=None), tmp_path / "a")
