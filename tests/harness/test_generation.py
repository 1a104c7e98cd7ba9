"""Batched generation: against transformers' own ``generate`` one by one, in all families, in any order and batch."""

from __future__ import annotations

import pytest

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text")
TEXTS = ("Why?", "A much longer prompt, which fills more than one sliding window.", "Hm", "seventeen letters")


def prompts(lm, ids=(1,), strings=(), **options):
    from harness.generation import Ending, Request

    ending = Ending(frozenset(ids), strings)
    return [
        Request(tuple(lm.encode(text)), 24 - 5 * place, ending, seed=place, **options)
        for place, text in enumerate(TEXTS)
    ]


def written(lm, requests, **options):
    from harness.generation import write

    found = {}
    write(lm, requests, lambda place, one: found.update({place: one}), **options)
    return [found[place] for place in range(len(requests))]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_texts_are_those_of_generate_one_by_one(tiny_lm, family):
    """Past the sliding window of 8, with rows that end at different caps, from one batch and from batches of two."""
    import torch

    lm = tiny_lm(family, sliding_window=8) if family == "mistral" else tiny_lm(family)
    requests = prompts(lm)
    expected = []
    for request in requests:
        ids = torch.tensor([request.ids])
        made = lm.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=request.most, do_sample=False, eos_token_id=1
        )
        expected.append((lm.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)).strip())
    assert len(set(expected)) == len(expected)
    for rows in (1, 2, 4):
        assert [one.text for one in written(lm, requests, most_rows=rows)] == expected


def test_an_end_token_ends_one_row_and_the_others_go_on(tiny_lm):
    from harness.generation import END, LENGTH

    lm = tiny_lm()
    whole = written(lm, prompts(lm, ids=()))
    assert [(one.stop, one.tokens) for one in whole] == [(LENGTH, 24 - 5 * place) for place in range(4)]
    character = whole[1].text[len(whole[1].text) // 2]
    (token,) = lm.encode(character, special=False)  # tokens are characters
    cut = written(lm, prompts(lm, ids=(token,)))
    assert {one.stop for one in cut} == {END, LENGTH}
    for one, before in zip(cut, whole, strict=True):
        if character not in before.text:
            assert one == before
        else:
            assert one.stop == END
            assert one.tokens < before.tokens
            assert one.text == before.text.partition(character)[0] + character


def test_a_stop_string_is_cut_off_and_ends_its_own_row_only(tiny_lm):
    from harness.generation import END

    lm = tiny_lm()
    whole, beside, *_ = written(lm, prompts(lm, ids=()))
    string = whole.text[5:8]
    cut, other = written(lm, [prompts(lm, (), (string,))[0], prompts(lm, (), (beside.text[-3:] + "?",))[1]])
    assert (cut.stop, cut.text) == (END, whole.text.partition(string)[0].strip())
    assert cut.tokens < whole.tokens
    assert other == beside


def test_draws_belong_to_the_prompt(tiny_lm):
    """Not to its neighbours, its place or the batch; another seed draws otherwise."""
    from dataclasses import replace

    lm = tiny_lm()
    requests = prompts(lm, temperature=0.7)
    together = written(lm, requests)
    assert together == [written(lm, [request])[0] for request in requests]
    assert together == written(lm, requests[::-1], most_rows=3)[::-1]
    assert written(lm, [replace(requests[0], seed=9)])[0] != together[0]


def test_draws_follow_the_distribution(tiny_lm):
    """3,000 first tokens against the softmax of the logits at that temperature: total variation."""
    import torch

    from harness.generation import Ending, Request

    lm = tiny_lm()
    ids = tuple(lm.encode("Why?"))
    with torch.no_grad():
        expected = (lm.model(torch.tensor([ids])).logits[0, -1].float() / 0.5).softmax(0)
    requests = [Request(ids, 1, Ending(frozenset()), 0.5, seed) for seed in range(3000)]
    counts = torch.zeros(len(expected))
    for one in written(lm, requests, most_rows=1000):
        token = lm.encode(one.text, special=False)
        counts[token[0] if token else 4] += 1  # a space is stripped; specials decode to nothing
    counts[4], expected[4] = counts[4], expected[:5].sum()
    counts[:4], expected[:4] = 0, 0
    assert float((counts / 3000 - expected).abs().sum()) / 2 < 0.06


def test_batches_keep_to_their_memory(tiny_lm):
    """Longest first, and no batch of more tokens than its keys and values may take."""
    from harness.generation import Ending, Request, _batches, _token_bytes

    lm = tiny_lm()
    assert _token_bytes(lm) == 2 * 2 * 2 * 8 * 4  # keys and values, layers, heads, width, float32
    requests = [Request((5,) * size, 10, Ending(frozenset())) for size in (3, 50, 20, 7, 5)]
    batches = list(_batches(requests, 70, 64))
    assert batches == [[1], [2, 3], [4, 0]]
    assert list(_batches(requests, 5, 64)) == [[1], [2], [3], [4], [0]], "one that fits nowhere goes alone"


def test_logits_that_are_not_finite(tiny_lm):
    import torch

    lm = tiny_lm()
    with torch.no_grad():
        lm.model.base_model.norm.weight[0] = float("nan")
    with pytest.raises(ValueError, match="logits are not finite"):
        written(lm, prompts(lm))
