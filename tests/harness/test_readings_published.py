"""The bundled model on other people's texts, against computations that share no code with ours.

``test_readings.py`` has the same two comparisons on tiny models, which always run.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.languagemodel import LanguageModel
from harness.models import default_cache, resolve
from harness.passages import passage
from harness.readings import Protocol, read

DATA = Path(__file__).parents[3] / "shared" / "data" / "lm"
WIKITEXT = DATA / "wikitext2-raw" / "test.txt"

pytestmark = [
    pytest.mark.bundled,
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="the texts of ../shared are not here"),
]


@pytest.fixture(scope="module")
def source():
    return resolve("bundled:gemma-3-270m", default_cache(), "float32", "cpu").source


@pytest.fixture(scope="module")
def lm(source):
    return LanguageModel(source.model(), source.tokenizer(), "cpu")


def test_the_first_16_windows_of_wikitext2_in_float32(lm):
    text = WIKITEXT.read_text(encoding="utf-8")[:160_000]
    ids = torch.tensor(lm.tokenizer(text)["input_ids"])[: 16 * 2048].view(16, 2048)
    assert ids.numel() == 16 * 2048
    losses = []
    for window in ids:
        with torch.inference_mode():
            out = lm.model(input_ids=window[None]).logits[0]
        pieces = zip(out[:-1].split(256), window[1:].split(256), strict=True)
        losses += [torch.nn.functional.cross_entropy(a.double(), b, reduction="sum").item() for a, b in pieces]
    independent = sum(losses) / (16 * 2047)
    found = read(lm, [passage(text, "wikitext2", "en")], Protocol("gptq", 2048))
    ours = sum(float(scored.nats.sum(dtype="f8")) for scored in found.scored[:16]) / (16 * 2047)
    print(f"ln PPL ours {ours:.7f}, independent {independent:.7f}")
    assert ours == pytest.approx(independent, abs=1e-4)


def test_bits_per_byte_are_lm_evals(lm):
    """lm-eval's own default scores BOS as a token, after another BOS: told to add none itself, it agrees."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    texts = [
        "".join((DATA / "ntrex" / f"{language}.txt").read_text(encoding="utf-8").splitlines(keepends=True)[:6]).strip()
        for language in ("en", "ko", "ja")
    ]
    requests = [Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts]
    options = {"pretrained": lm.model, "tokenizer": lm.tokenizer, "batch_size": 1, "max_length": 2048}
    plain = HFLM(**options).loglikelihood_rolling(requests, disable_tqdm=True)
    theirs = HFLM(**options, add_bos_token=False).loglikelihood_rolling(requests, disable_tqdm=True)
    found = read(lm, [passage(text, text[:8], "und") for text in texts], Protocol("rolling", 2048))
    ours = [float(scored.nats.sum(dtype="f8")) for scored in found.scored]
    for text, a, b, default in zip(texts, ours, theirs, plain, strict=True):
        size = len(text.encode()) * 0.69314718
        print(f"{a / size:.6f} {-b / size:.6f} (lm-eval as it comes: {-default / size:.6f})")
        assert a / size == pytest.approx(-b / size, abs=1e-5)
