from __future__ import annotations

import pytest
import torch

from harness import scoring
from harness.scoring import Head, token_facts, token_fidelity, token_nats


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Several chunks of tokens and pieces of the vocabulary, none of which divides it."""
    monkeypatch.setattr(scoring, "TILE_TOKENS", 7)
    monkeypatch.setattr(scoring, "TILE_BYTES", 7 * 4 * 64)


def made(vocabulary=300, tokens=20, seed=0, dtype=torch.float32, scale=1.0, **head):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, 16, generator=generator)
    other = hidden + 0.1 * torch.randn(tokens, 16, generator=generator)
    weight = scale * torch.randn(vocabulary, 16, generator=generator)
    targets = torch.randint(vocabulary, (tokens,), generator=generator)
    return hidden.to(dtype), other.to(dtype), targets, Head(weight.to(dtype), **head)


def brute(hidden, head):
    """All logits in float64, after a head that multiplies in its own dtype."""
    found = (hidden @ head.weight.T).double()
    if head.bias is not None:
        found = found + head.bias.double()
    if head.scale is not None:
        found = found * head.scale
    if head.softcap is not None:
        found = head.softcap * torch.tanh(found / head.softcap)
    return found.log_softmax(-1)


HEADS = {
    "plain": {},
    "bias": {"bias": torch.linspace(-1, 1, 300)},
    "softcap": {"softcap": 2.0},
    "scale and softcap": {"scale": 0.3, "softcap": 5.0},
}


@pytest.mark.parametrize("name", HEADS)
def test_against_a_full_softmax_in_float64(name):
    hidden, other, targets, head = made(**HEADS[name])
    p, q = brute(hidden, head), brute(other, head)
    rows = torch.arange(len(targets))
    found = token_fidelity(other, hidden, targets, head)
    assert torch.allclose(token_nats(hidden, targets, head).double(), -p[rows, targets], atol=1e-5)
    assert torch.allclose(found.nats.double(), -q[rows, targets], atol=1e-5)
    assert torch.allclose(found.reference_nats.double(), -p[rows, targets], atol=1e-5)
    assert torch.allclose(found.kl.double(), (p.exp() * (p - q)).sum(-1), atol=1e-5)
    assert torch.allclose(found.entropy.double(), -(p.exp() * p).sum(-1), atol=1e-5)
    assert torch.equal(found.agree, p.argmax(-1) == q.argmax(-1))
    assert not found.agree.all()
    assert torch.allclose(found.delta_p.double(), q[rows, targets].exp() - p[rows, targets].exp(), atol=1e-6)


def test_in_bfloat16_only_the_head_is_rounded():
    hidden, _, targets, head = made(dtype=torch.bfloat16)
    expected = -brute(hidden, head)[torch.arange(len(targets)), targets]
    assert torch.allclose(token_nats(hidden, targets, head).double(), expected, atol=1e-5)


@pytest.mark.parametrize("vocabulary", [1, 63, 64, 65, 300])
def test_a_uniform_model_gives_ln_v(vocabulary):
    hidden, other, targets, head = made(vocabulary)
    head = Head(torch.zeros_like(head.weight))
    nats = token_nats(hidden, targets, head)
    assert torch.allclose(nats.exp(), torch.full_like(nats, vocabulary), rtol=1e-6)
    assert torch.allclose(
        token_facts(hidden, targets, head).entropy.exp(), torch.full_like(nats, vocabulary), rtol=1e-6
    )
    assert torch.equal(token_fidelity(other, hidden, targets, head).kl, torch.zeros(len(targets)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_does_not_differ_from_itself(dtype):
    hidden, _, targets, head = made(dtype=dtype)
    found = token_fidelity(hidden, hidden, targets, head)
    assert found.kl.abs().max() < 1e-6
    assert found.agree.all()
    assert found.delta_p.abs().max() < 1e-6


def test_an_untied_reference_head_is_used():
    hidden, _, targets, head = made()
    other = Head(head.weight + 0.05)
    p, q = brute(hidden, other), brute(hidden, head)
    found = token_fidelity(hidden, hidden, targets, head, other)
    assert torch.allclose(found.kl.double(), (p.exp() * (p - q)).sum(-1), atol=1e-5)


@pytest.mark.parametrize("offset", [300.0, -300.0])
def test_logits_beyond_what_exp_holds_are_computed_with_their_maximum(offset):
    hidden, other, targets, head = made()
    far = Head(head.weight, torch.full((300,), offset))
    assert torch.allclose(token_nats(hidden, targets, far), token_nats(hidden, targets, head), atol=1e-3)
    plain, moved = token_fidelity(other, hidden, targets, head), token_fidelity(other, hidden, targets, far)
    for before, after in zip(plain, moved, strict=True):
        assert torch.allclose(before.float(), after.float(), atol=1e-3)


def test_numbers_that_are_none_stay_so():
    hidden, _, targets, head = made()
    hidden[3] = torch.nan
    nats = token_nats(hidden, targets, head)
    assert torch.isnan(nats).nonzero().tolist() == [[3]]


def test_what_is_known_is_not_computed_again(monkeypatch):
    hidden, other, targets, head = made()
    known = token_facts(hidden, targets, head)
    expected = token_fidelity(other, hidden, targets, head)
    monkeypatch.setattr(scoring, "token_facts", None)
    found = token_fidelity(other, hidden, targets, head, known=known)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_the_first_of_equal_tokens_is_the_top_and_ties_agree():
    head = Head(torch.ones(200, 16))
    hidden, targets = torch.ones(2, 16), torch.tensor([5, 199])
    assert token_facts(hidden, targets, head).top.tolist() == [0, 0]
    assert token_fidelity(hidden, 2 * hidden, targets, head).agree.all()


def test_a_target_outside_the_vocabulary_is_refused():
    hidden, _, _, head = made()
    with pytest.raises(ValueError, match=r"reach from 0 to 300; the head has 300"):
        token_nats(hidden, torch.arange(20) % 2 * 300, head)
