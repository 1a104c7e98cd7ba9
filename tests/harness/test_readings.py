from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.hiddenstore import DamagedHidden, HiddenStore
from harness.passages import passage
from harness.problems import UserError
from harness.readings import Protocol, Window, batches, read, rolling_windows, units

TEXTS = ("A short one.", "This passage is a little longer than the first.", "Third!", "x" * 5)


def passages(*texts: str):
    return [passage(text, f"g{number}", "en", "ko", sentences=2) for number, text in enumerate(texts or TEXTS)]


def uniform(lm):
    with torch.no_grad():
        lm.model.lm_head.weight.zero_()
    return lm


def brute(lm, ids: list[int]) -> list[float]:
    """Nats of ids[1:], read at once, in float64."""
    with torch.inference_mode():
        found = lm.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [-float(found[place, token]) for place, token in enumerate(ids[1:])]


def test_the_windows_drawn_in_the_docstring():
    found = list(rolling_windows(list(range(1, 11)), 0, 4))
    assert found == [Window([0, 1, 2, 3], 4, 4), Window([4, 5, 6, 7], 4, 8), Window([6, 7, 8, 9], 2, 10)]


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 9, 31])
@pytest.mark.parametrize("width", [2, 4, 30, 64])
def test_rolling_windows_are_lm_evals_and_score_each_token_once(length, width):
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    ids = list(range(100, 100 + length))
    theirs = [make_disjoint_window(pair) for pair in get_rolling_token_windows(ids, 0, width, 1)]
    expected = [token for _, predicted in theirs for token in predicted]
    found = list(rolling_windows(ids, 0, width))
    assert [len(predicted) for _, predicted in theirs] == [window.scored for window in found]
    assert [[*w.ids, w.target] for w in found] == [context + predicted for context, predicted in theirs]
    assert expected == ids


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_rolling_scores_each_passage_whole_after_bos(tiny_lm, family):
    lm = tiny_lm(family)
    found = read(lm, passages(), Protocol("rolling"))
    for scored, text in zip(found.scored, TEXTS, strict=True):
        assert scored.nats.tolist() == pytest.approx(brute(lm, lm.encode(text)), abs=1e-4)
        assert len(scored.nats) == len(text)
        assert (scored.unit.bytes, scored.unit.sentences, scored.unit.source_language) == (len(text), 2, "ko")
        assert scored.moved is None


def test_a_passage_longer_than_the_window_is_read_in_several(tiny_lm):
    lm = tiny_lm()
    (scored,) = read(lm, passages("abcdefghij"), Protocol("rolling", 4)).scored
    a = lm.encode("a", special=False)[0]
    text = list(range(a, a + 10))
    expected = [*brute(lm, [2, *text[:4]]), *brute(lm, text[3:8]), *brute(lm, text[5:10])[2:]]
    assert scored.nats.tolist() == pytest.approx(expected, abs=1e-4)


def test_a_uniform_model_has_perplexity_v(tiny_lm):
    nats = np.concatenate([scored.nats for scored in read(uniform(tiny_lm()), passages(), Protocol()).scored])
    assert np.exp(nats) == pytest.approx(96, rel=1e-6)


def test_the_order_is_the_texts_whatever_the_batches(tiny_lm):
    lm = tiny_lm()
    one = read(lm, passages(), Protocol())
    alone = read(lm, passages(), Protocol(), batch_tokens=1)
    assert [s.unit.group for s in one.scored] == ["g0", "g1", "g2", "g3"]
    for a, b in zip(one.scored, alone.scored, strict=True):
        assert a.nats == pytest.approx(b.nats, abs=1e-4)


def test_batches_hold_similar_lengths_within_the_budget(tiny_lm):
    found = units(tiny_lm(), passages("a" * 50, "b" * 3, "c" * 48, "d" * 4, "e" * 49), Protocol())
    assert list(batches(found, 100)) == [[0, 4], [2, 3], [1]]
    assert list(batches(found, 1)) == [[0], [4], [2], [3], [1]]


def test_gptq_joins_cuts_and_drops(tiny_lm):
    lm = tiny_lm()
    texts = ["abc" * 10, "def" * 11]
    ids = lm.encode("\n\n".join(texts))
    found = read(lm, passages(*texts), Protocol("gptq", 6))
    assert len(ids) == 66
    assert [s.unit.group for s in found.scored] == [f"window-{number:05d}" for number in range(11)]
    for number, scored in enumerate(found.scored):
        assert scored.nats.tolist() == pytest.approx(brute(lm, ids[6 * number : 6 * number + 6]), abs=1e-4)
        assert scored.unit.bytes is None


def test_gptq_is_refused_under_ten_windows(tiny_lm):
    with pytest.raises(UserError, match=r"has 31 tokens, which is 5 windows of 6; protocol gptq needs 10"):
        read(tiny_lm(), passages("a" * 30), Protocol("gptq", 6))


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (("roling", None), r"no protocol 'roling'. Did you mean 'rolling'\? Known: gptq and rolling"),
        (("gptq", 1), "the window is 1 tokens; it takes at least 2"),
    ],
)
def test_a_protocol_that_does_not_exist(protocol, message):
    with pytest.raises(UserError, match=message):
        Protocol(*protocol)


def test_a_window_wider_than_the_model_is_refused(tiny_lm):
    with pytest.raises(UserError, match="the window is 129 tokens, and the model was made to read 128"):
        read(tiny_lm(), passages(), Protocol("rolling", 129))


def test_an_empty_passage_is_named(tiny_lm):
    with pytest.raises(UserError, match=r"passage 'g1' \(en\) is empty"):
        read(tiny_lm(), passages("a", ""), Protocol())


def test_the_label(tiny_lm):
    notes = read(tiny_lm(dtype="bfloat16"), passages(), Protocol()).notes
    assert notes == {
        "protocol": "rolling, window 128",
        "dtypes": "body bfloat16, head bfloat16, log-softmax float32",
        "bos": "<bos> before each passage, as the tokenizer does; not scored",
    }
    assert "though the tokenizer adds none" in read(tiny_lm(bos=False), passages(), Protocol()).notes["bos"]


def test_logits_that_are_not_finite_name_the_passage(tiny_lm):
    lm = tiny_lm()
    z = lm.encode("z", special=False)[0]
    lm.head()
    with torch.no_grad():
        lm.model.get_input_embeddings().weight[z] = torch.nan
    with pytest.raises(ValueError, match=r"not finite in passage 'g1', at token 1 of 3"):  # attention spreads it
        read(lm, passages("fine", "azb"), Protocol())


# ---------------------------------------------------------------------------------------------------------------------
# against a reference


def perturbed(lm, amount=0.05):
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if "proj" in name:
                weight += amount * torch.randn_like(weight) * weight.std()
    return lm


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_fidelity_is_that_of_full_softmaxes(tiny_lm, tmp_path, family):
    store = HiddenStore(tmp_path / "hidden" / "key")
    none, variant = tiny_lm(family), perturbed(tiny_lm(family))
    kept = read(none, passages(), Protocol(), keep=store)
    found = read(variant, passages(), Protocol(), reference=store)
    assert store.is_complete()
    for scored, original, text in zip(found.scored, kept.scored, TEXTS, strict=True):
        ids = torch.tensor([none.encode(text)])
        with torch.inference_mode():
            p, q = (lm.model(input_ids=ids).logits[0, :-1].double().log_softmax(-1) for lm in (none, variant))
        kl = (p.exp() * (p - q)).sum(-1)
        assert scored.moved.kl == pytest.approx(kl.numpy(), abs=1e-5)
        assert scored.moved.entropy == pytest.approx(-(p.exp() * p).sum(-1).numpy(), abs=1e-5)
        assert scored.moved.agree.tolist() == (p.argmax(-1) == q.argmax(-1)).tolist()
        assert scored.moved.delta_p == pytest.approx(np.exp(-scored.nats) - np.exp(-original.nats), abs=1e-6)
    assert max(float(scored.moved.kl.max()) for scored in found.scored) > 1e-4


def test_none_against_itself_in_one_reading(tiny_lm, tmp_path):
    store, same = HiddenStore(tmp_path / "hidden" / "key"), HiddenStore(tmp_path / "hidden" / "key")
    found = read(tiny_lm(), passages(), Protocol(), same, store)
    assert max(float(np.abs(scored.moved.kl).max()) for scored in found.scored) < 1e-6
    assert all(scored.moved.agree.all() for scored in found.scored)


def test_keeping_changes_no_number(tiny_lm, tmp_path):
    lm = tiny_lm()
    plain, kept = read(lm, passages(), Protocol()), read(lm, passages(), Protocol(), keep=HiddenStore(tmp_path / "h/k"))
    for a, b in zip(plain.scored, kept.scored, strict=True):
        assert a.nats == pytest.approx(b.nats, abs=1e-6)


def test_the_references_own_head_is_used(tiny_lm, tmp_path):
    store = HiddenStore(tmp_path / "hidden" / "key")
    none, variant = tiny_lm(), tiny_lm()
    read(none, passages("abc"), Protocol(), keep=store)
    with torch.no_grad():
        variant.model.lm_head.weight.mul_(0.5)
    (scored,) = read(variant, passages("abc"), Protocol(), reference=store).scored
    ids = torch.tensor([none.encode("abc")])
    with torch.inference_mode():
        p, q = (lm.model(input_ids=ids).logits[0, :-1].double().log_softmax(-1) for lm in (none, variant))
    assert scored.moved.kl == pytest.approx((p.exp() * (p - q)).sum(-1).numpy(), abs=1e-5)


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def damage_alter(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def damage_remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [damage_cut, damage_alter, damage_remove])
def test_damaged_states_are_found_and_made_again(tiny_lm, tmp_path, damage):
    store = HiddenStore(tmp_path / "hidden" / "key")
    lm = tiny_lm()
    read(lm, passages(), Protocol(), keep=store)
    damage(store.folder / f"{passages()[1].id}.safetensors")
    assert not store.is_complete()
    with pytest.raises(DamagedHidden, match=rf"{passages()[1].id}.*remove the folder .*key, and `none` is read again"):
        read(lm, passages(), Protocol(), reference=store)
    read(lm, passages(), Protocol(), keep=store)
    assert store.is_complete()


def test_states_of_other_tokens_are_refused(tiny_lm, tmp_path):
    store = HiddenStore(tmp_path / "hidden" / "key")
    lm, (one, other) = tiny_lm(), passages("abcd", "dcba")
    read(lm, [one, other], Protocol(), keep=store)
    (store.folder / f"{other.id}.safetensors").replace(store.folder / f"{one.id}.safetensors")
    with pytest.raises(DamagedHidden, match=f"{one.id}.safetensors was made of other tokens"):
        read(lm, [one], Protocol(), reference=store)


def test_an_unfinished_reading_is_no_reference(tiny_lm, tmp_path):
    store = HiddenStore(tmp_path / "hidden" / "key")
    lm = tiny_lm()
    store.begin(lm)
    assert not store.is_complete()
    with pytest.raises(DamagedHidden, match="no finished reading of `none`"):
        read(lm, passages(), Protocol(), reference=store)


def test_what_is_whole_stays_a_reference_while_it_is_read_again(tiny_lm, tmp_path):
    store, lm = HiddenStore(tmp_path / "hidden" / "key"), tiny_lm()
    read(lm, passages(), Protocol(), keep=store)
    store.begin(lm)  # by another run, which has the same model and text
    assert store.is_complete()
    assert len(read(lm, passages(), Protocol(), reference=store).scored) == len(passages())


def test_bits_per_byte_are_lm_evals(tiny_lm):
    """lm-eval puts BOS before the text a second time where the tokenizer adds one; told not to, it agrees."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    lm = tiny_lm()
    hflm = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=1, max_length=32, add_bos_token=False)
    texts = [*TEXTS, "long " * 20]
    requests = [Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts]
    theirs = hflm.loglikelihood_rolling(requests, disable_tqdm=True)
    ours = [float(scored.nats.sum()) for scored in read(lm, passages(*texts), Protocol("rolling", 32)).scored]
    assert ours == pytest.approx([-value for value in theirs], abs=1e-3)


def test_first_windows_against_ten_lines(tiny_lm):
    lm = tiny_lm("gemma2")
    text = "The quick brown fox jumps over the lazy dog. " * 12
    ids = torch.tensor(lm.tokenizer(text)["input_ids"])
    total = count = 0
    for window in ids[: len(ids) // 32 * 32].view(-1, 32):
        with torch.inference_mode():
            out = lm.model(input_ids=window[None]).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(out.double(), window[1:], reduction="sum"))
        count += 31
    found = read(lm, passages(text), Protocol("gptq", 32))
    assert math.log(math.exp(total / count)) == pytest.approx(
        sum(float(s.nats.sum(dtype="f8")) for s in found.scored) / count, abs=1e-5
    )
