"""Writing, strict loading, weighing and exporting artifacts: what a damaged, cut or edited one is answered with."""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from methods import _files, _walk, artifact
from methods._linear import AffineLinear
from methods.artifact import CannotStore, DamagedArtifact, Writer
from methods.base import Calibration, Source
from methods.none import Uncompressed
from methods.rtn import Rtn

IDS = torch.randint(3, 96, (2, 24), generator=torch.Generator().manual_seed(1))
CODES = "model.layers.1.mlp.up_proj.codes"
BLOCK = "block-00001.safetensors"


@pytest.fixture
def source(tiny_source: Any, tmp_path: Path) -> Source:
    return tiny_source("gemma3_text", tmp_path / "m", tied=True)


@pytest.fixture
def folder(source: Source, tmp_path: Path) -> Path:
    Rtn(granularity="group:32").compress(source, None, tmp_path / "a")
    return tmp_path / "a"


def flip(path: Path, name: str) -> None:
    """Change the lowest bit of one byte in the middle of one tensor."""
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    start, end = json.loads(data[8 : 8 + length])[name]["data_offsets"]
    data[8 + length + (start + end) // 2] ^= 1
    path.write_bytes(data)


def rewrite(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_an_ordinary_model_comes_back(folder: Path, source: Source) -> None:
    model = artifact.load(folder)
    original = source.model()
    assert type(model) is type(original)
    assert not model.training
    assert not any(p.requires_grad or p.is_meta for p in model.parameters())
    assert not any(buffer.is_meta for buffer in model.buffers())
    assert list(model.state_dict()) == list(original.state_dict())
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.generation_config.to_dict() == original.generation_config.to_dict()
    assert AutoTokenizer.from_pretrained(folder)("a b").input_ids == source.tokenizer()("a b").input_ids


def test_packed_and_materialized_give_the_same_logits(folder: Path) -> None:
    for dtype in ("float32", "bfloat16"):
        packed, plain = (artifact.load(folder, dtype, materialize=m) for m in (False, True))
        assert isinstance(packed.model.layers[0].mlp.up_proj, AffineLinear)
        assert type(plain.model.layers[0].mlp.up_proj) is torch.nn.Linear
        assert torch.equal(packed(IDS).logits, plain(IDS).logits)


def test_the_model_outlives_its_files(folder: Path) -> None:
    model = artifact.load(folder)
    before = model(IDS).logits
    for path in folder.glob("*.safetensors"):
        path.write_bytes(b"\0" * path.stat().st_size)
    assert torch.equal(model(IDS).logits, before)


def test_a_changed_code_fails_the_load_and_unverified_changes_the_logits(folder: Path) -> None:
    before = artifact.load(folder)(IDS).logits
    flip(folder / BLOCK, CODES)
    with pytest.raises(DamagedArtifact) as caught:
        artifact.load(folder)
    for part in (BLOCK, CODES, str(folder), "python -m harness cache prune"):
        assert part in str(caught.value)
    assert not torch.equal(artifact.load(folder, verify=False)(IDS).logits, before)


def test_every_stored_tensor_is_checked(folder: Path) -> None:
    for name, entry in artifact.read_manifest(folder).tensors.items():
        path = folder / entry["file"]
        kept = path.read_bytes()
        flip(path, name)
        with pytest.raises(DamagedArtifact, match=name):
            artifact.load(folder)
        path.write_bytes(kept)
    artifact.load(folder)


def test_damage_is_named(folder: Path) -> None:
    def expect(change: Callable[[], Any], message: str, path: Path = folder / BLOCK) -> None:
        kept = path.read_bytes()
        change()
        with pytest.raises(DamagedArtifact, match=message):
            artifact.load(folder, verify=False)
        path.write_bytes(kept)

    block = folder / BLOCK
    expect(lambda: rewrite(block, lambda t: t.pop(CODES)), f"{BLOCK} lacks tensor {CODES}")
    expect(lambda: rewrite(block, lambda t: t.update(extra=torch.ones(1))), f"{BLOCK} holds tensor extra, which the")
    cast = f"tensor {CODES} is int32 .* in place of uint8"
    expect(lambda: rewrite(block, lambda t: t.update({CODES: t[CODES].int()})), cast)
    expect(lambda: block.write_bytes(block.read_bytes()[:-100]), f"{BLOCK} cannot be read")
    expect(block.unlink, f"{BLOCK} cannot be read")
    for name in ("config.json", "tokenizer.json", "generation_config.json"):
        path = folder / name
        expect(lambda path=path: path.write_text(path.read_text() + " "), f"{name} was changed after", path)
        expect(path.unlink, f"{name} cannot be read", path)


def test_an_edited_manifest_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    text = path.read_text()

    def edited(**entries: Any) -> None:
        path.write_text(json.dumps(json.loads(text) | entries))

    edited(method="awq")
    with pytest.raises(DamagedArtifact, match=r"manifest\.json was edited"):
        artifact.load(folder)
    edited(schema=2)
    with pytest.raises(DamagedArtifact, match="has schema 2; this version reads 1"):
        artifact.load(folder)
    edited(more=1)
    with pytest.raises(DamagedArtifact, match=r"does not hold the right entries .*more"):
        artifact.load(folder)
    path.write_text(text[:-50])
    with pytest.raises(DamagedArtifact, match=r"manifest\.json cannot be read"):
        artifact.load(folder)
    path.unlink()
    with pytest.raises(DamagedArtifact, match=r"manifest\.json is missing"):
        artifact.weigh(folder)


def test_a_manifest_that_fits_its_files_but_not_the_model(source: Source, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "x", source, "test", {}, 1)
    for block in _walk.walk(source):
        writer.block(block.index, block.tensors(), {})
    writer.rest(_walk.rest(source) | {"model.surplus.weight": torch.ones(2)})
    writer.finish()
    with pytest.raises(DamagedArtifact, match=r"lists tensor model\.surplus\.weight, which this model does not know"):
        artifact.load(tmp_path / "x")


def test_a_tensor_that_nobody_stored_is_an_error(source: Source, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "x", source, "test", {}, 1)
    writer.rest(_walk.rest(source))
    with pytest.raises(ValueError, match=r"cannot be finished: nothing was stored for model\.layers\.0\."):
        writer.finish()


def test_some_tensors_keep_single_precision(source: Source, tmp_path: Path) -> None:
    norm = "model.layers.1.input_layernorm.weight"
    fine = torch.full((64,), 1 / 3)
    writer = Writer(tmp_path / "x", source, "test", {}, 1)
    for block in _walk.walk(replace(source, dtype="bfloat16")):
        tensors = block.tensors()
        keep = {norm} & tensors.keys()
        writer.block(block.index, tensors | dict.fromkeys(keep, fine), {}, keep_float32=keep)
    writer.rest(_walk.rest(source))
    writer.finish()
    model = artifact.load(tmp_path / "x", "bfloat16")
    state = model.state_dict()
    assert torch.equal(state[norm], fine)
    assert {name for name, tensor in state.items() if tensor.dtype == torch.float32} == {norm}
    assert model(IDS).logits.dtype == torch.bfloat16
    # What ran in bfloat16 is stored in the original's type all the same.
    assert {entry["dtype"] for entry in artifact.read_manifest(tmp_path / "x").tensors.values()} == {"float32"}


def test_the_digest_follows_what_makes_the_model(source: Source, tmp_path: Path) -> None:
    calibration = Calibration(IDS, ("en", "ko"), {"en": 0.5, "ko": 0.5}, "f1", "bundled en:1 ko:1")
    variants = {
        "plain": ("test", {"bits": 4}, 1, None),
        "same": ("test", {"bits": 4}, 1, None),
        "params": ("test", {"bits": 3}, 1, None),
        "code": ("test", {"bits": 4}, 2, None),
        "calibration": ("test", {"bits": 4}, 1, calibration),
    }
    digests = {}
    for name, (method, params, code, used) in variants.items():
        writer = Writer(tmp_path / name, source, method, params, code, used)
        for block in _walk.walk(source):
            writer.block(block.index, block.tensors(), {})
        writer.rest(_walk.rest(source))
        digests[name] = writer.finish().digest
        assert digests[name] == artifact.digest(tmp_path / name)
    assert digests["plain"] == digests.pop("same")
    assert len(set(digests.values())) == 4
    manifest = artifact.read_manifest(tmp_path / "calibration")
    assert (manifest.calibration, manifest.calibration_label) == ("f1", "bundled en:1 ko:1")


def test_a_half_written_block_counts_as_none(source: Source, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "x", source, "test", {}, 1)
    blocks = list(_walk.walk(source))
    writer.untouched("model.layers.0.mlp.up_proj", "because")
    writer.block(0, blocks[0].tensors(), {})
    writer.block(1, blocks[1].tensors(), {})
    writer.rest(_walk.rest(source))
    path = tmp_path / "x" / BLOCK
    path.write_bytes(path.read_bytes()[:-7])
    (tmp_path / "x/.block-00002.safetensors.123.tmp").write_bytes(b"left by a crash")
    again = Writer(tmp_path / "x", source, "test", {}, 1)
    assert (again.has_block(0), again.has_block(1), again.has_block(2), again.has_rest()) == (True, False, False, True)
    again.block(1, blocks[1].tensors(), {})
    assert again.finish().untouched == {"model.layers.0.mlp.up_proj": "because"}
    assert not list((tmp_path / "x").glob(".*"))


def test_a_folder_of_something_else_is_left_alone(source: Source, tmp_path: Path) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter1.txt").write_text("years of work")
    with pytest.raises(ValueError, match="thesis holds files that are no part of a compressed model"):
        Rtn().compress(source, None, mine)
    assert (mine / "chapter1.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_a_sentence(error: Exception, source: Source, tmp_path: Path, monkeypatch: Any) -> None:
    write = _files.save_file

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        if "block-00001" in path.name:
            path.write_bytes(b"half")
            raise error
        write(tensors, path, metadata)

    monkeypatch.setattr(_files, "save_file", full)
    with pytest.raises(CannotStore) as caught:
        Rtn(granularity="row").compress(source, None, tmp_path / "a")
    assert caught.value.errno == errno.ENOSPC
    for part in (BLOCK, "the disk is full (0.0 MB needed", "MB free)", "finished blocks are kept"):
        assert part in str(caught.value)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["block-00000.safetensors", "recipe.json"]
    monkeypatch.undo()
    Rtn(granularity="row").compress(source, None, tmp_path / "a")
    artifact.load(tmp_path / "a")


def test_a_place_that_takes_no_files_is_a_sentence(source: Source, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStore, match=r"Cannot write .*recipe\.json: .*Name a folder that can be written"):
        Rtn(granularity="row").compress(source, None, tmp_path / "file" / "a")


def test_weighed_part_by_part(folder: Path) -> None:
    weights = 2 * (64 * 64 * 2 + 32 * 64 * 2 + 3 * 64 * 128)
    footprint = artifact.weigh(folder)
    assert footprint.quantized_weights == weights
    assert footprint.codes == weights // 2
    assert footprint.scales == weights // 32 * 2 + weights // 32 // 2  # 16 bits of scale, 4 of zero
    assert footprint.side == 0
    assert footprint.embeddings == 96 * 64 * 4
    assert footprint.head == 0
    assert footprint.rest == (2 * (4 * 64 + 2 * 16) + 64) * 4
    assert footprint.bits_per_weight == 4 + 16 / 32 + 4 / 32
    assert footprint.total == sum(
        tensor.nbytes for path in folder.glob("*.safetensors") for tensor in load_file(path).values()
    )
    assert footprint.file_bytes == sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert footprint.base_bytes == (weights + 96 * 64) * 4 + footprint.rest


@pytest.mark.parametrize("method", [Rtn(granularity="group:128"), Uncompressed()])
def test_export_is_a_plain_folder_with_a_card(method: Any, tiny_source: Any, tmp_path: Path) -> None:
    source = tiny_source("llama", tmp_path / "m", layers=2)
    method.compress(source, None, tmp_path / "a")
    out = artifact.export(tmp_path / "a", tmp_path / "out", base="somebody/tiny")
    loaded = AutoModelForCausalLM.from_pretrained(out)
    assert torch.equal(loaded(IDS).logits, artifact.load(tmp_path / "a")(IDS).logits)
    assert AutoTokenizer.from_pretrained(out)("a").input_ids == source.tokenizer()("a").input_ids
    assert not (out / "manifest.json").exists()
    card = (out / "README.md").read_text(encoding="utf-8")
    front = card.split("---")[1]
    assert 'base_model: "somebody/tiny"' in front
    parts = [
        "**These weights are dequantized.**",
        artifact.digest(tmp_path / "a"),
        source.digest,
        "the original takes 0.3 MB",
    ]
    if isinstance(method, Rtn):
        parts += ["`rtn`", 'bits=4, granularity="group:128", symmetric=false', "4.156 bits per compressed weight"]
        parts += ["- `model.layers.0.mlp.up_proj`: groups of 128 do not divide its 64 input channels"]
    for part in parts:
        assert part in card
    with pytest.raises(ValueError, match="out is not empty"):
        artifact.export(tmp_path / "a", out)


def test_export_in_half_the_bytes(folder: Path, tmp_path: Path) -> None:
    artifact.export(folder, tmp_path / "out", "bfloat16")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert loaded.dtype == torch.bfloat16
    assert torch.equal(loaded(IDS).logits, artifact.load(folder, "bfloat16")(IDS).logits)
