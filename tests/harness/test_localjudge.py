from __future__ import annotations

import math

import pytest
import torch

from harness.localjudge import PLAIN, load_judge, scorer
from harness.problems import UserError
from judges.duel import Duel, Preference
from judges.judgements import Judgements
from judges.local import LABELS, LocalJudge, Unscored
from judges.prompts import Prompt, load_prompts
from judges.questions import Question

PROMPT = Prompt("Judge.", "A or B?")


def by_hand(lm, text):
    """ln p(letter | text + "[[", one of the letters) from the model's own logits."""
    ids = lm.tokenizer(text)["input_ids"] + lm.tokenizer("[[", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = lm.model(input_ids=torch.tensor([ids])).logits[0, -1].float()
    last = [lm.tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "ABC"]
    return logits[last].log_softmax(0).tolist()


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_labels_are_scored_by_the_models_own_logits(family, tiny_lm):
    lm = tiny_lm(family)
    assert scorer(lm, 100)(PROMPT, LABELS) == pytest.approx(by_hand(lm, "Judge.\n\nA or B?\n\n"), abs=1e-4)


def test_a_chat_template_wraps_the_messages_and_one_without_a_system_role_merges_them(tiny_lm):
    lm = tiny_lm()
    lm.tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}!"
    with_system = scorer(lm, 100)(PROMPT, LABELS)
    lm.tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "<{{ m.role }}>{{ m.content }}{% endfor %}!"
    )
    merged = scorer(lm, 100)(PROMPT, LABELS)
    bare = lm.tokenizer.chat_template = None
    assert bare is None
    lm.encode = lambda text, special=True, encode=lm.encode: encode(text, False)
    lm.tokenizer.bos_token_id = None

    def plain(text):
        ids = lm.encode(text) + lm.encode("[[")
        with torch.inference_mode():
            logits = lm.model(input_ids=torch.tensor([ids])).logits[0, -1].float()
        return logits[[lm.encode(letter)[0] for letter in "ABC"]].log_softmax(0).tolist()

    assert with_system == pytest.approx(plain("<system>Judge.<user>A or B?!"), abs=1e-4)
    assert merged == pytest.approx(plain("<user>Judge.\n\nA or B?!"), abs=1e-4)


def test_labels_that_bfloat16_cannot_tell_apart_do_not_tie(tiny_lm):
    """Logits of 20 and 20.03 are one number in bfloat16; with their rows in float32 the larger one is the verdict."""
    lm = tiny_lm()
    lm.model.to(torch.bfloat16)
    ids = lm.encode("Judge.\n\nA or B?\n\n") + lm.encode("[[", special=False)
    hidden = lm.hidden(torch.tensor([ids]))[0, -1].float()
    letters = [lm.encode(letter, special=False)[0] for letter in "ABC"]
    with torch.no_grad():
        for letter, logit in zip(letters, (20.0, 20.03, 10.0), strict=True):
            lm.model.lm_head.weight[letter] = (hidden * logit / hidden.square().sum()).bfloat16()
    weights = lm.model.lm_head.weight[letters].float()
    first, second, _ = (weights @ hidden).tolist()
    assert first != second
    found = scorer(lm, 100)(PROMPT, LABELS)
    assert found[1] - found[0] == pytest.approx(second - first, abs=1e-5)


def test_a_prompt_that_is_too_long_is_an_error_with_its_reason(tiny_lm):
    score = scorer(tiny_lm(), 10)
    with pytest.raises(Unscored, match="the prompt has 20 tokens, and the judge reads 10 at once"):
        score(PROMPT, LABELS)
    question = Question("1", "1", "writing", ("Say hello.", "Again."), None, "en")
    judged = LocalJudge(score, load_prompts("en")).judge(Duel(question, 1, ("a",), ("b",)))
    assert judged.preference is Preference.FAILED
    assert judged.reason.endswith("and the judge reads 10 at once")


def test_a_tokenizer_that_splits_the_labels_otherwise_is_refused(tiny_lm, monkeypatch):
    lm = tiny_lm()
    monkeypatch.setattr(lm, "encode", lambda text, special=True: list(text.encode())[: 2 if text.endswith("A") else 3])
    with pytest.raises(UserError, match=r"reads the labels \[\[A, \[\[B, \[\[C with different beginnings"):
        scorer(lm, 100)


def test_judgements_are_kept_and_none_is_computed_twice(tiny_lm, tmp_path):
    calls = []
    score = scorer(tiny_lm(max_position_embeddings=4096), 4096)

    def counted(prompt, labels):
        calls.append(prompt)
        return score(prompt, labels)

    question = Question("1", "1", "writing", ("Say hello.", "Again."), None, "en")
    duel = Duel(question, 1, ("a",), ("b",))
    with Judgements(tmp_path / "j.jsonl") as kept:
        judge = LocalJudge(counted, load_prompts("en"), {"model": "tiny"}, kept)
        first = judge.judge(duel)
        assert judge.judge(duel) == first
    with Judgements(tmp_path / "j.jsonl") as kept:
        again = LocalJudge(counted, load_prompts("en"), {"model": "tiny"}, kept).judge(duel)
    assert again == first
    assert len(calls) == 1
    assert all(math.isfinite(value) for value in first.identity["logprobs"])
    assert first.identity["date"].startswith("20")

    from judges.replay import read_replay

    assert read_replay(tmp_path / "j.jsonl").judge(duel) == first


def test_a_judge_is_told_by_its_weights_dtype_and_template(tiny_folder, tmp_path):
    lm, identity = load_judge(str(tiny_folder()), tmp_path, "float32", "cpu")
    assert identity["template"] == PLAIN
    assert (identity["dtype"], identity["device"], len(identity["weights"])) == ("float32", "cpu", 32)
    assert len(scorer(lm, 100)(PROMPT, LABELS)) == 3
