from __future__ import annotations

import pytest

from results.metric import METRICS
from results.policy import DEFAULT, PolicyError, parse_policy, read_policy

ENGLISH = {"metric": "nats_per_token", "relative_margin": 0.01}


def rule(**changes):
    return {"metric": "nats_per_token", "relative_margin": 0.01, **changes}


def refused(*rules, **general):
    with pytest.raises(PolicyError) as error:
        parse_policy({**general, "rule": list(rules)}, "p.toml")
    return str(error.value)


def test_the_shipped_policy_has_a_gap_an_anchor_and_nothing_to_remark():
    policy = read_policy()
    assert {(one.gap, one.against) for one in policy.rules if one.is_paired and one.tier == "block"} == {
        (gap, against) for gap in (False, True) for against in ("baseline", "anchor")
    }
    assert policy.remarks == []
    assert {one.metric for one in policy.rules} <= set(METRICS)
    assert DEFAULT.name == "policy.toml"


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (rule(marign=1), "there is no key 'marign'. Did you mean 'margin'?"),
        (rule(metric="nats_per_tokn"), "there is no metric 'nats_per_tokn'. Did you mean 'nats_per_token'?"),
        (rule(against="basline"), "against is 'basline', and it is one of baseline, none, anchor. Did you mean"),
        (rule(tier="stop"), "tier is 'stop', and it is one of block, warn, info."),
        (rule(margin=1), "both margin and relative_margin are given"),
        ({"metric": "perplexity"}, "it has no margin; give one of margin"),
        ({"relative_margin": 0.1}, "it names no metric."),
        (rule(relative_margin=-0.1), "the margin is -0.1, and a margin is 0 or more"),
        (rule(relative_margin=float("inf")), "the margin is inf"),
        (rule(relative_margin="1%"), "relative_margin is '1%', and it is a number."),
        (rule(gap="yes"), "gap is 'yes', and it is true or false."),
        (rule(minimum=True), "minimum is True, and it is a whole number."),
        (rule(minimum=1), "minimum is 1, and one passage tells nothing"),
        (rule(task=3), "task is 3, and it is text."),
        (rule(better="higher"), "better is 'higher', but nats_per_token is better lower."),
        (rule(metric="kld_p99"), 'kld_p99 scatters and has no value per item; test = "exact" compares it as it is'),
        (rule(metric="win_rate_length_controlled", test="exact"), "is told and never gates"),
        (rule(metric="total_bytes", test="paired"), "total_bytes has no value per item, so it cannot be paired"),
        (rule(metric="total_bytes", against="anchor"), "an anchor is kept item by item"),
        (rule(metric="total_bytes", gap=True), "a gap is paired by parallel items"),
        (rule(gap=True, language="en"), "its language cannot be 'en'"),
        (rule(max_errors=2), "max_errors is 2, and it is a share"),
    ],
)
def test_a_mistake_in_a_rule_is_told(table, sentence):
    assert sentence in refused(table)


@pytest.mark.parametrize(
    ("general", "sentence"),
    [
        ({"alpha": 0.5}, "alpha is 0.5, and an error rate lies between 0 and 0.5."),
        ({"alhpa": 0.1}, "there is no key 'alhpa'. Did you mean 'alpha'?"),
        ({"max_unmatched": 1}, "max_unmatched is 1, and it is a share"),
        ({"inconclusive": "ignore"}, "inconclusive is 'ignore', and it is one of block, pass."),
    ],
)
def test_a_mistake_beside_the_rules_is_told(general, sentence):
    assert sentence in refused(rule(), **general)


def test_all_mistakes_are_told_together():
    message = refused(rule(marign=1), rule(tier="stop"), alpha=2)
    assert "p.toml has 3 mistakes:" in message
    assert message.count("\n  - ") == 3


def test_rules_that_contradict_each_other_are_refused():
    assert "rule 1 and rule 2 contradict each other: one selection, two demands" in refused(
        rule(), rule(relative_margin=0.02)
    )
    assert "say the same twice" in refused(rule(), rule(name="again"))
    assert parse_policy({"rule": [rule(), rule(relative_margin=0.02, tier="warn")]}).rules


GAP = {"metric": "bits_per_sentence", "gap": True, "margin": 1.0}


@pytest.mark.parametrize(
    "beside",
    [
        [],
        [rule(language="ko")],
        [rule(tier="warn")],
        [rule(against="none")],
        [rule(method="rtn")],
        [rule(metric="accuracy")],
    ],
)
def test_a_gap_rule_without_an_english_rule_that_covers_it_is_refused(beside):
    assert "a gap rule needs an English rule beside it, for harming English shrinks the gap" in refused(GAP, *beside)


@pytest.mark.parametrize("beside", [rule(), rule(language="en"), {"metric": "bits_per_sentence", "margin": 3}])
def test_a_gap_rule_with_one_is_taken(beside):
    assert parse_policy({"rule": [GAP, beside]}).remarks  # and lacks an anchor, which is remarked


def test_files_that_are_none(tmp_path):
    with pytest.raises(PolicyError, match=r"There is no policy file 'nowhere.toml'"):
        read_policy(tmp_path.__class__("nowhere.toml"))
    (tmp_path / "p.toml").write_text("[[rule]\n")
    with pytest.raises(PolicyError, match="is not TOML"):
        read_policy(tmp_path / "p.toml")
    (tmp_path / "p.toml").write_text("")
    with pytest.raises(PolicyError, match=r"it has no \[\[rule\]\]"):
        read_policy(tmp_path / "p.toml")
