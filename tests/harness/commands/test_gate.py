from __future__ import annotations

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from harness.cli import main
from harness.exits import ExitCode
from results.files import StoreError

RULES = """
[[rule]]
metric = "nats_per_token"
relative_margin = 0.03
[[rule]]
metric = "bits_per_sentence"
gap = true
margin = 1.0
[[rule]]
metric = "nats_per_token"
against = "anchor"
relative_margin = 0.06
"""


@pytest.fixture
def gate(gate_run, tmp_path, capsys):
    """``gate(worse=..., options=..., policy=...)``: (exit code, stdout, stderr) of a gate on the default baseline."""
    saved = tmp_path / "base.lock"
    assert main(["baseline", "save", str(gate_run("first")), "--out", str(saved)]) == ExitCode.OK

    def call(*options, policy=RULES, baseline=saved, name="run", **run):
        (tmp_path / "policy.toml").write_text(policy)
        capsys.readouterr()
        folder = str(gate_run(name, **run))
        code = main(["gate", folder, "--baseline", str(baseline), "--policy", str(tmp_path / "policy.toml"), *options])
        return code, *capsys.readouterr()

    call.saved = saved
    return call


class TestExitCodes:
    def test_0_when_everything_passes(self, gate):
        code, out, err = gate()
        assert (code, err) == (ExitCode.OK, "")
        assert "✓ PASS: every blocking check passed" in out

    def test_the_verdict_is_kept_in_the_run_folder_for_its_page(self, gate, tmp_path):
        _, out, _ = gate("--json", worse={("awq", "ko"): 2.0}, noise=0.05)
        kept = json.loads((tmp_path / "run" / "gate.json").read_text(encoding="utf-8"))
        told = json.loads(out)
        assert {key: kept[key] for key in told} == told
        assert (kept["state"], kept["exit_code"]) == ("fail", ExitCode.REGRESSED)
        assert (kept["baseline"]["file"], kept["baseline"]["why"]) == ("base.lock", "first baseline")

    def test_a_run_that_cannot_be_written_to_is_judged_all_the_same(self, gate, monkeypatch):
        def full(path, content):
            raise StoreError.of(path, OSError(28, "No space left on device"))

        monkeypatch.setattr("reports.gate_file.replace", full)
        code, _, err = gate()
        assert code == ExitCode.OK
        assert "the verdict is not kept beside the run" in err
        assert "No space left on device" in err

    def test_1_when_only_korean_suffers(self, gate):
        code, out, _ = gate(worse={("awq", "ko"): 2.0}, noise=0.05)
        assert code == ExitCode.REGRESSED
        assert "✗ gap of bits_per_sentence against baseline: awq 4-bit, perplexity, ko" in out
        assert "15 passed, 1 failed" in out

    def test_4_when_it_cannot_be_told(self, gate):
        code, out, _ = gate(passages=2)
        assert code == ExitCode.INCONCLUSIVE
        assert "2 passages were paired, and the rule wants 8 or more" in out

    def test_0_when_that_is_let_pass(self, gate):
        assert gate(passages=2, policy='inconclusive = "pass"\n' + RULES)[0] == ExitCode.OK

    def test_5_when_a_cell_is_missing(self, gate):
        code, out, _ = gate(failed=[("awq", "ko")])
        assert code == ExitCode.BASELINE
        assert "failed in the run: out of memory" in out

    def test_5_when_the_run_has_no_none(self, gate):
        code, out, _ = gate(methods=("rtn", "awq"))
        assert code == ExitCode.BASELINE
        assert "the run has no finished cell of `none`, so no rule against `none` or the anchor" in out

    def test_1_comes_before_5(self, gate):
        assert gate(worse={("awq", "ko"): 9.0}, failed=[("rtn", "ko")])[0] == ExitCode.REGRESSED

    def test_5_when_the_baseline_is_stale_and_that_blocks(self, gate):
        assert gate(policy='stale = "block"\nmax_age_days = 0\n' + RULES)[0] == ExitCode.BASELINE
        assert gate(policy="max_age_days = 0\n" + RULES)[0] == ExitCode.OK


class TestBadInput:
    def refused(self, found, code, *sentences):
        assert found[:2] == (code, "")
        assert found[2].startswith("langgap: ")
        for sentence in sentences:
            assert sentence in found[2]

    def test_another_model(self, gate):
        self.refused(gate(weights="e" * 32), ExitCode.BASELINE, "their weights differ", "langgap baseline save RUN")

    def test_another_item_set(self, gate):
        code, out, _ = gate(text="u")
        assert code == ExitCode.BASELINE
        assert "another item set: 16 of the run's 16 items are not in the baseline" in out

    def test_no_baseline(self, gate, tmp_path):
        self.refused(gate(baseline=tmp_path / "no.lock"), ExitCode.BASELINE, "There is no baseline", "baseline save")

    def test_none_named(self, gate_run, capsys):
        assert main(["gate", str(gate_run())]) == ExitCode.BASELINE
        assert "name it with --baseline FILE, or save one with `langgap baseline save" in capsys.readouterr().err

    def test_another_schema(self, gate):
        gate.saved.write_text(gate.saved.read_text().replace('{"langgap_baseline":1', '{"langgap_baseline":9', 1))
        self.refused(gate(), ExitCode.BASELINE, "has baseline schema 9, and this version of langgap reads schema 1")

    def test_an_edited_baseline(self, gate):
        gate.saved.write_text(gate.saved.read_text().replace("first baseline", "fine", 1))
        self.refused(gate(), ExitCode.BASELINE, "line 2: edited by hand", "take the file from git again")

    def test_a_contradictory_policy(self, gate):
        policy = RULES + '[[rule]]\nmetric = "nats_per_token"\nrelative_margin = 0.5\n'
        self.refused(gate(policy=policy), ExitCode.USAGE, "rule 1 and rule 4 contradict each other")

    def test_a_run_of_mixed_schemas(self, gate_run, gate, tmp_path, capsys):
        folder = gate_run("mixed")
        with (folder / "records.jsonl").open("a") as file:
            file.write('{"schema":2,"key":"k"}\n')
        assert main(["gate", str(folder), "--baseline", str(gate.saved)]) == ExitCode.USAGE
        assert "its schema is 2, and this version of langgap reads schemas 1 to 1" in capsys.readouterr().err

    def test_a_run_without_a_finished_cell(self, gate, tmp_path, capsys):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "records.jsonl").touch()
        assert main(["gate", str(tmp_path / "empty"), "--baseline", str(gate.saved)]) == ExitCode.BASELINE
        assert "has no finished cell, so nothing can be compared" in capsys.readouterr().err


class TestOutputs:
    def test_every_file_and_line(self, gate, tmp_path):
        options = ["--junit", str(tmp_path / "g.xml"), "--summary", str(tmp_path / "g.md"), "--annotations", "--json"]
        code, out, err = gate(*options, worse={("awq", "ko"): 2.0}, noise=0.05)
        found = json.loads(out)
        assert (code, found["exit_code"], found["state"]) == (1, 1, "fail")
        assert ElementTree.parse(tmp_path / "g.xml").getroot().get("failures") == "1"
        assert (tmp_path / "g.md").read_text(encoding="utf-8").startswith("## ✗ FAIL")
        assert err.startswith("::error title=")

    def test_a_steps_summary_is_added_to(self, gate, tmp_path, monkeypatch):
        summary = tmp_path / "step"
        summary.write_text("before\n")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
        gate("--summary", str(summary))
        assert summary.read_text(encoding="utf-8").startswith("before\n## ✓ PASS")

    def test_self_test(self, gate_run, capsys):
        code = main(["gate", str(gate_run("self", noise=2.0)), "--self-test", "--trials", "100", "--json"])
        found = json.loads(capsys.readouterr().out)
        assert (code, found["trials"], found["sound"]) == (ExitCode.OK, 100, True)
        assert main(["gate", str(gate_run("bare", methods=("rtn",))), "--self-test"]) == ExitCode.BASELINE
        assert "no finished cell of `none`, whose labels a self-test swaps" in capsys.readouterr().err


def test_neither_torch_nor_pandas_is_loaded(gate, gate_run):
    program = (
        "import sys; from harness.cli import main; main(sys.argv[1:]); "
        "print({'torch', 'pandas', 'transformers', 'matplotlib', 'scipy.stats'} & set(sys.modules), file=sys.stderr)"
    )
    arguments = ["gate", str(gate_run("light")), "--baseline", str(gate.saved)]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"
