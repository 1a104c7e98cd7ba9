"""A gate in every format, with text of a record that tries to be more than text."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from rich.console import Console

from reports.gate_json import gate_json
from reports.gate_junit import junit
from reports.gate_markdown import annotation_lines, gate_markdown, plain
from reports.gate_terminal import print_gate
from reports.gate_text import sentence
from results.comparison import Mismatch
from results.comparison_cells import Place
from results.gate import Check, Gate
from results.policy import Policy, Rule

HOSTILE = 'a|b <script>alert(1)</script> ]]> %0A::error::x @everyone `x` [y](http://z) "q"\n\x00\x1b[31m'
GAP = Rule("bits_per_sentence", margin=1.0, gap=True, name="gap")
SIZE = Rule("total_bytes", relative_margin=0.01, tier="warn")


def place(variant="awq 4-bit", language="ko", task="perplexity"):
    return Place(variant, "awq", task, language)


FAILED = Check(GAP, place(), "fail", 1.7, 1.4, 2.0, 220.0, 218.0, 16, 16, p_fail=1e-5, p_fail_adjusted=0.002)
PASSED = Check(GAP, place(language="ja"), "pass", 0.1, -0.1, 0.3, 210.0, 209.9, 16, 16, p_pass=1e-9)
UNSURE = Check(GAP, place(language="zh"), "inconclusive", 0.9, 0.5, 1.3, items=16, passages=16, needed=90)
MISSING = Check(GAP, place(language="fr"), "missing", note="the run has no such cell")
HEAVIER = Check(SIZE, place(language="und", task="footprint"), "fail", 0.02, exact=True, p_fail=0.0)


def gate(*checks, **changes):
    policy = Policy((GAP, SIZE), inconclusive=changes.pop("inconclusive", "block"))
    return replace(Gate(policy, tuple(checks), (), (), (), ()), **changes)


ALL = gate(
    FAILED,
    PASSED,
    UNSURE,
    MISSING,
    HEAVIER,
    mismatches=((Mismatch("warning", "engine", "torch: '2.13' in the baseline, '2.14' in the run"), 40),),
    stale=("the baseline is old",),
    not_compared=("rtn 4-bit, perplexity, ko: not in the baseline",),
)


class TestWords:
    @pytest.mark.parametrize(
        ("check", "expected"),
        [
            (
                FAILED,
                "gap of bits_per_sentence worse by +1.7 bits per sentence [+1.4, +2] than English beside the baseline, "
                "margin 1, 16 passages; p = 0.002 after Holm's correction",
            ),
            (MISSING, "nothing was compared: the run has no such cell"),
            (HEAVIER, "total_bytes worse by +2.00% beside the baseline, margin 1%"),
        ],
    )
    def test_a_check_in_one_sentence(self, check, expected):
        assert sentence(check) == expected

    def test_what_cannot_be_told_says_what_would(self):
        assert sentence(UNSURE).endswith("16 passages; about 90 passages would tell")


class TestTerminal:
    def shown(self, found, **options):
        stream = io.StringIO()
        print_gate(found, Console(file=stream, width=160, highlight=False), **options)
        return stream.getvalue()

    def test_what_did_not_pass_comes_first_and_the_verdict_last(self):
        text = self.shown(ALL)
        assert text.index("✗ fail") < text.index("∅ missing") < text.index("? inconclusive")
        assert text.rstrip().endswith("✗ FAIL: something became worse than its margin allows")
        assert "p = 0.002 after Holm's correction" in " ".join(text.split())
        assert " ja " not in text
        assert "4 blocking checks: 1 passed, 1 failed, 1 inconclusive, 1 missing; 1 warning check: 1 failed" in text
        for beside in ("torch: '2.13' in the baseline", "stale: the baseline is old", "not compared: rtn 4-bit"):
            assert beside in text

    def test_full_shows_the_passed_too(self):
        assert "✓ pass" in self.shown(ALL, full=True)

    def test_markup_in_names_stays_text(self):
        assert "[red]x" in self.shown(gate(replace(FAILED, place=place("[red]x"))))


def test_json_has_everything_and_no_nan():
    found = gate_json(ALL)
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    assert [check["state"] for check in found["checks"]] == ["fail", "pass", "inconclusive", "missing", "fail"]
    assert (found["state"], found["family"]) == ("fail", 4)
    assert found["checks"][3]["damage"] is None
    assert found["mismatches"][0]["cells"] == 40


CASE = {"name", "classname", "time", "assertions", "status"}
SUITE = {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id", "package"}
SUITES = {"name", "time", "tests", "failures", "disabled", "errors"}
RESULT = {"failure": {"type", "message"}, "error": {"type", "message"}, "skipped": {"message", "type"}}


class TestJUnit:
    """By the schema that Jenkins publishes and GitLab, GitHub's reporters and Azure read."""

    def valid(self, content):
        root = ElementTree.fromstring(content)
        assert (root.tag, set(root.attrib) <= SUITES) == ("testsuites", True)
        for suite in root:
            assert (suite.tag, set(suite.attrib) <= SUITE, "name" in suite.attrib) == ("testsuite", True, True)
            cases = list(suite)
            assert {case.tag for case in cases} == {"testcase"}
            for kind, name in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
                assert int(suite.get(kind)) == len(suite.findall(f"testcase/{name}"))
            assert int(suite.get("tests")) == len(cases)
            for case in cases:
                assert set(case.attrib) <= CASE
                assert {"name", "classname"} <= set(case.attrib)
                for inner in case:
                    assert inner.tag in {*RESULT, "system-out", "system-err"}
                    assert set(inner.attrib) <= RESULT.get(inner.tag, set())
                    float(case.get("time"))
        assert int(root.get("tests")) == len(root.findall("testsuite/testcase"))
        return root

    def test_one_case_a_check(self):
        root = self.valid(junit(ALL, 1.25))
        assert [root.get(name) for name in ("tests", "failures", "errors", "time")] == ["5", "2", "1", "1.250"]
        kinds = {case.get("name"): [inner.tag for inner in case] for case in root.findall("testsuite/testcase")}
        assert kinds == {
            "awq 4-bit, ko": ["failure"],
            "awq 4-bit, ja": ["system-out"],
            "awq 4-bit, zh": ["failure"],
            "awq 4-bit, fr": ["error"],
            "awq 4-bit, und": ["skipped"],
        }

    def test_what_cannot_be_told_is_skipped_where_it_does_not_block(self):
        root = self.valid(junit(gate(UNSURE, inconclusive="pass")))
        (skipped,) = root.findall("testsuite/testcase/skipped")
        assert skipped.get("message").startswith("inconclusive, block: ")

    def test_hostile_text_stays_text(self):
        root = self.valid(junit(gate(replace(MISSING, place=place(HOSTILE), note=HOSTILE))))
        assert "<script>" in root.find("testsuite/testcase").get("name")
        assert "\x00" not in root.find("testsuite/testcase/error").get("message")


class TestMarkdown:
    def test_verdict_then_reasons_then_what_passed_folded(self):
        text = gate_markdown(ALL)
        assert text.startswith("## ✗ FAIL: something became worse than its margin allows\n")
        assert text.index("gap: awq 4-bit, perplexity, ko") < text.index("| ✗ fail |") < text.index("<details>")
        assert "torch: '2.13' in the baseline" in text

    @pytest.mark.parametrize("count", [100, 5000])
    def test_stays_below_what_a_comment_may_have(self, count):
        checks = [
            replace(check, place=place(f"variant {i} " + "long " * 20))
            for i in range(count)
            for check in (FAILED, MISSING, PASSED)
        ]
        found = gate(*checks, not_compared=tuple(f"cell {i} " + "x" * 50 for i in range(count)))
        text = gate_markdown(found)
        assert len(text) < 65_000
        assert re.search(r"\d+ more are in the JSON\.", text) or count == 100
        assert "## ✗ FAIL" in text
        assert text.count("<details>") == text.count("</details>")

    def test_hostile_text_makes_no_markup(self):
        found = gate(replace(FAILED, place=place(HOSTILE), note=HOSTILE), not_compared=(HOSTILE,))
        text = gate_markdown(found)
        for line in text.splitlines():
            if line.startswith("| ✗"):
                assert len(re.findall(r"(?<!\\)\|", line)) == 10
        assert not re.search(r"(?<!\\)<script", text)
        assert "@everyone" not in text
        assert plain("a\nb") == "a b"


class TestAnnotations:
    def test_errors_block_and_warnings_do_not(self):
        lines = annotation_lines(ALL)
        assert [line.split(" ")[0] for line in lines] == ["::error"] * 3 + ["::warning"] * 2
        assert lines[0].startswith("::error title=gap%3A awq 4-bit%2C perplexity%2C ko::gap of bits_per_sentence worse")

    def test_hostile_text_starts_no_command(self):
        found = gate(replace(FAILED, place=place(HOSTILE), note="100%\n::error::x"))
        (line,) = annotation_lines(found)
        assert "\n" not in line
        assert line.startswith("::error title=gap%3A a|b <script>")
        assert "::" not in line[2:].partition("::")[0]  # the title's own colons are escaped
        assert "100%25%0A::error::x" in line
        assert "%250A" in line

    def test_ten_of_a_kind(self):
        assert len(annotation_lines(gate(*[FAILED] * 50))) == 10
