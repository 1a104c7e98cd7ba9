from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest

from results.comparison_cells import Place
from results.gate import Incompatible, judge, make_gate
from results.gate_checks import Found
from results.policy import Policy, Rule, parse_policy, read_policy
from results.statistics import Contrast, mean

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PLACE = Place("rtn 4-bit", "rtn", "perplexity", "ko")
RULE = Rule("nats_per_token", margin=1.0)


def checked(contrasts, margin=1.0, **changes):
    """The judgement of contrasts under one policy of equal blocking rules."""
    rule = Rule("nats_per_token", margin=margin, **{"minimum": 2, **changes})
    return judge([Found(rule, PLACE, one, items=20) for one in contrasts], Policy((rule,)))


def states(contrasts, margin=1.0, **changes):
    return [check.state for check in checked(contrasts, margin, **changes)]


def gate(old, new, *rules, **general):
    policy = parse_policy({**general, "rule": list(rules)}) if rules else read_policy()
    return make_gate(policy, old, new, NOW)


def failed(found):
    return {(check.rule.title, check.place.variant, check.place.language) for check in found.of("block", "fail")}


def counted(found, tier="block"):
    return Counter(check.state for check in found.checks if check.rule.tier == tier)


class TestStates:
    def test_pass_fail_and_inconclusive(self):
        assert states([Contrast(0.0, 0.1, 19, 20), Contrast(2.0, 0.1, 19, 20), Contrast(1.0, 0.1, 19, 20)]) == [
            "pass",
            "fail",
            "inconclusive",
        ]

    def test_the_interval_tells_the_same_as_the_tests(self):
        rng = np.random.default_rng(0)
        for check in checked([Contrast(v, 0.1, 19, 20) for v in rng.uniform(0.5, 1.5, 50)]):
            assert (check.high <= 1) == (check.p_pass <= 0.025) == (check.state == "pass")
            assert (check.low >= 1) == (check.p_fail <= 0.025)

    def test_failing_needs_holm_and_passing_does_not(self):
        marginal, good = Contrast(1.25, 0.1, 19, 20), Contrast(0.0, 0.1, 19, 20)
        assert states([marginal]) == ["fail"]
        found = checked([marginal, *[good] * 9])
        assert [check.state for check in found] == ["inconclusive"] + ["pass"] * 9
        assert "fails alone (p = 0.011), not after Holm's correction over 10 checks" in found[0].note
        below = Contrast(0.75, 0.1, 19, 20)
        assert states([below] * 10) == ["pass"] * 10

    def test_a_missing_check_counts_in_the_family(self):
        marginal = Found(RULE, PLACE, Contrast(1.25, 0.1, 19, 20), items=20)
        gone = Found(RULE, PLACE, missing="gone")
        one, *others = judge([marginal, *[gone] * 9], Policy((RULE,)))
        assert one.state == "inconclusive"
        assert one.p_fail_adjusted == pytest.approx(10 * one.p_fail)
        assert {(check.state, check.p_pass, check.p_fail_adjusted) for check in others} == {("missing", 1.0, 1.0)}

    def test_without_spread_the_value_is_compared(self):
        exact = [Contrast(value, 0.0, 19, 20) for value in (0.0, 1.0, 1.1)]
        assert states(exact) == ["pass", "pass", "fail"]
        assert states([Contrast(0.0, 0.0, 19, 20)], margin=0.0) == ["pass"]

    def test_one_cluster_tells_nothing(self):
        assert states([Contrast(0.0, 0.0, 0, 1)]) == ["inconclusive"]

    def test_fewer_passages_than_the_minimum_tell_nothing(self):
        (found,) = checked([Contrast(9.0, 0.01, 6, 7)], minimum=8)
        assert (found.state, found.note) == ("inconclusive", "7 passages were paired, and the rule wants 8 or more")

    def test_warnings_are_a_family_of_their_own(self):
        warn = Rule("nats_per_token", margin=1.0, tier="warn")
        found = judge(
            [Found(RULE, PLACE, Contrast(1.25, 0.1, 19, 20)), *[Found(warn, PLACE, Contrast(0, 0.1, 19, 20))] * 9],
            Policy((RULE, warn)),
        )
        assert found[0].state == "fail"


class TestSimulations:
    """Number 35 of the design: quick here, whole in benchmarks/gate.py."""

    GATES = 200

    def simulated(self, rules, damages, rho=0.5, n=24, seed=0):
        """For each gate the states of correlated rules with the given true damages in units of a margin of 2 SE."""
        rng = np.random.default_rng(seed)
        for _ in range(self.GATES):
            shared = rng.normal(size=n)
            noise = np.sqrt(rho) * shared + np.sqrt(1 - rho) * rng.normal(size=(rules, n))
            margin = 2 / np.sqrt(n)
            yield states([mean(margin * d + of) for d, of in zip(damages, noise, strict=True)], margin)

    @pytest.mark.parametrize("rules", [1, 8, 24])
    def test_rules_at_the_margin_rarely_fail_and_rarely_all_pass(self, rules):
        found = list(self.simulated(rules, [1.0] * rules))
        alarms = np.mean(["fail" in of for of in found])
        passes = np.mean([set(of) == {"pass"} for of in found])
        error = 3 * np.sqrt(0.025 * 0.975 / self.GATES)
        assert alarms <= 0.025 + error
        assert passes <= 0.025 + error

    def test_one_at_the_margin_and_the_rest_far_inside_rarely_passes(self):
        found = list(self.simulated(8, [1.0, *[-2.0] * 7]))
        passes = np.mean([set(of) == {"pass"} for of in found])
        assert 0.005 < passes <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / self.GATES)

    def test_without_holm_the_alarms_would_be_many(self):
        """So that the test above can fail: the raw tests of 24 rules at the margin do."""
        found = [checked([mean(of) for of in self.noise(seed)], 0.0) for seed in range(100)]
        assert np.mean([any(check.p_fail <= 0.025 for check in of) for of in found]) > 0.1

    def noise(self, seed):
        return np.random.default_rng(seed).normal(size=(24, 24))


class TestRuns:
    def test_a_run_beside_itself_passes(self, gate_cells):
        found = gate(gate_cells(), gate_cells())
        assert found.state == "pass"
        assert counted(found) == {"pass": 22}
        assert found.mismatches == ()
        assert found.not_compared == (
            "rule 'fidelity' meets no cell of this run and is not required",
            "rule 'duels' meets no cell of this run and is not required",
            "rule 'speed' meets no cell of this run and is not required",
        )

    def test_only_korean_suffers_and_the_gap_rule_is_what_fails(self, gate_cells):
        language = {"metric": "nats_per_token", "relative_margin": 0.03}
        gap = {"metric": "bits_per_sentence", "gap": True, "margin": 1.0, "name": "gap"}
        found = gate(gate_cells(), gate_cells(worse={("awq", "ko"): 2.0}), language, gap)
        assert counted(found) == {"pass": 9, "fail": 1}
        assert failed(found) == {("gap", "awq 4-bit", "ko")}
        assert found.state == "fail"
        (check,) = found.of("block", "fail")
        assert check.p_fail_adjusted < 0.001
        assert check.damage == pytest.approx(2.0, abs=0.3)

    def test_everybody_suffers_and_the_gap_rule_does_not_fail(self, gate_cells):
        worse = {("awq", code): 9.0 for code in ("en", "ko", "ja")}
        found = gate(gate_cells(), gate_cells(worse=worse, noise=0.01))
        assert failed(found) == {
            (rule, "awq 4-bit", code) for rule in ("language", "language, anchor") for code in ("en", "ko", "ja")
        }

    def test_harming_english_does_not_pass_for_closing_the_gap(self, gate_cells):
        found = gate(gate_cells(), gate_cells(worse={("awq", "en"): 6.0}, noise=0.05))
        assert {item[0] for item in failed(found)} == {"language", "language, anchor"}
        assert {item[2] for item in failed(found)} == {"en"}

    def test_an_improvement_passes(self, gate_cells):
        worse = {("awq", code): -5.0 for code in ("en", "ko", "ja")}
        assert gate(gate_cells(), gate_cells(worse=worse, noise=0.05)).state == "pass"

    def test_a_tiny_run_is_inconclusive(self, gate_cells):
        found = gate(gate_cells(), gate_cells(passages=2))
        assert found.state == "inconclusive"
        assert counted(found) == {"inconclusive": 20, "pass": 2}  # sizes pass
        assert {check.note for check in found.of("block", "inconclusive")} == {
            "2 passages were paired, and the rule wants 8 or more; the run has 2 of 16 items, so it cannot pass"
        }

    def test_many_items_but_not_all_can_fail_and_cannot_pass(self, gate_cells):
        whole = gate_cells()
        assert gate(whole, gate_cells(passages=12)).state == "inconclusive"
        assert gate(whole, gate_cells(passages=12, worse={("awq", "ko"): 3.0}, noise=0.05)).state == "fail"

    def test_a_failed_cell_is_missing_and_listed(self, gate_cells):
        found = gate(gate_cells(), gate_cells(failed=[("rtn", "ja")]))
        assert found.state == "missing"
        assert {(check.place.variant, check.place.language) for check in found.of("block", "missing")} == {
            ("rtn 4-bit", "ja")
        }
        assert found.of("block", "missing")[0].note == "failed in the run: out of memory"
        assert "rtn 4-bit, perplexity, ja: failed in the run: out of memory" in found.not_compared

    def test_a_variant_that_is_gone_is_missing_and_a_new_one_is_listed(self, gate_cells):
        found = gate(gate_cells(methods=("none", "rtn")), gate_cells(methods=("none", "awq")))
        assert counted(found) == {"missing": 11}
        assert "rtn 4-bit, perplexity, ko: in the baseline, not in the run" in found.not_compared
        assert "awq 4-bit, perplexity, ko: not in the baseline; `langgap baseline update` adds it" in found.not_compared

    def test_a_run_without_none(self, gate_cells):
        found = gate(gate_cells(), gate_cells(methods=("rtn", "awq")))
        assert found.state == "missing"
        assert {check.rule.against for check in found.of("block", "missing")} == {"anchor"}
        assert "the run has no finished cell of `none`" in found.warnings[0]

    def test_a_gap_without_english_is_missing(self, gate_cells):
        found = gate(gate_cells(), gate_cells(failed=[("rtn", "en")]))
        notes = {check.note for check in found.of("block", "missing") if check.rule.gap}
        assert notes == {"English: failed in the run: out of memory"}

    def test_a_rule_that_meets_nothing_never_passes(self, gate_cells):
        cells = gate_cells()
        rule = {"metric": "nats_per_token", "relative_margin": 0.1, "task": "perplexty"}
        found = gate(cells, cells, rule)
        assert (found.state, found.checks[0].note) == ("missing", "no cell of baseline or run meets this rule")
        assert gate(cells, cells, {**rule, "required": False}).state == "missing"  # nothing at all was compared

    def test_other_items_are_not_compared(self, gate_cells):
        found = gate(gate_cells(), gate_cells(text="u"))
        assert found.state == "missing"
        assert "another item set" in found.of("block", "missing")[0].note

    def test_another_model_is_refused(self, gate_cells):
        with pytest.raises(Incompatible, match="The baseline was saved for 'tiny' and the run measured 'tiny': their"):
            gate(gate_cells(), gate_cells(weights="e" * 32))

    def test_methods_are_met_by_name_and_by_label(self, gate_cells):
        cells = gate_cells()
        for glob, variants in (("awq", {"awq 4-bit"}), ("*4-bit", {"awq 4-bit", "rtn 4-bit"})):
            found = gate(cells, cells, {"metric": "nats_per_token", "relative_margin": 0.1, "method": glob})
            assert {check.place.variant for check in found.checks} == variants

    def test_an_anchor_stops_what_creeps_by_small_updates(self, gate_cells, gate_run, tmp_path):
        from results.baseline import first, updated
        from results.baseline_file import Change
        from results.store import Run

        change = Change("2026-11-01", "me", "because", None, 0)
        lost = [{("awq", code): bits for code in ("en", "ko", "ja")} for bits in (0.0, 3.0, 6.0, 9.0)]
        runs = [Run.open(gate_run(f"step-{i}", worse=worse, noise=0.01)) for i, worse in enumerate(lost)]
        baseline = first(runs[0], change)
        rules = [
            {"metric": "bits_per_sentence", "margin": 4.0},
            {"metric": "bits_per_sentence", "margin": 8.0, "against": "anchor"},
        ]
        from results.comparison_cells import from_run

        seen = []
        for run in runs[1:]:
            found = gate(baseline.cells, from_run(run), *rules)
            seen.append((found.state, {check.rule.against for check in found.of("block", "fail")}))
            baseline = updated(baseline, run, change)
        assert seen == [("pass", set()), ("pass", set()), ("fail", {"anchor"})]

    def test_against_none_bounds_the_loss_itself(self, gate_cells):
        cells = gate_cells()
        rule = {"metric": "bits_per_sentence", "against": "none"}
        assert failed(gate(cells, cells, {**rule, "margin": 9.0})) == {
            ("bits_per_sentence against none", "rtn 4-bit", code) for code in ("en", "ko", "ja")
        }

    def test_sizes_are_compared_as_they_are(self, gate_cells):
        rule = {"metric": "total_bytes", "relative_margin": 0.01}
        assert gate(gate_cells(), gate_cells(size=1009.0), rule).state == "pass"
        found = gate(gate_cells(), gate_cells(size=1011.0), rule)
        assert counted(found) == {"fail": 2}
        assert found.checks[0].exact

    def test_none_that_reads_otherwise_is_said(self, gate_cells):
        moved = {("none", "ko"): 0.5}
        found = gate(gate_cells(), gate_cells(worse=moved))
        assert any(line.startswith("`none` itself reads otherwise than in the baseline") for line in found.warnings)

    def test_a_stale_baseline_may_block(self, gate_cells):
        cells = gate_cells()
        rule = {"metric": "nats_per_token", "relative_margin": 0.1}
        assert not gate(cells, cells, rule, max_age_days=7).is_stale
        assert gate(cells, cells, rule, max_age_days=7, stale="block").is_stale

    def test_failed_judgements_above_the_cap_leave_a_cell_uncompared(self, gate_cells):
        from dataclasses import replace

        from results.estimate import Estimate

        cells = gate_cells()
        errors = [replace(one, estimates={**one.estimates, "errors": Estimate(0.2)}) for one in cells]
        rule = {"metric": "nats_per_token", "relative_margin": 0.1, "max_errors": 0.1}
        found = gate(cells, errors, rule)
        assert found.checks[0].note == "20.0% of its judgements failed, and the rule allows 10.0%"
        assert found.state == "missing"
