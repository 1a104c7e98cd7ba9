from __future__ import annotations

import json

import pytest

from harness.cli import main
from harness.exits import ExitCode


@pytest.fixture
def saved(gate_run, tmp_path, capsys):
    path = tmp_path / "base.lock"
    assert main(["baseline", "save", str(gate_run("first")), "--out", str(path), "--who", "Ada"]) == ExitCode.OK
    assert "21 cells of 3 variants, 252 items. Commit it" in capsys.readouterr().out
    return path


def call(capsys, *arguments):
    code = main(["baseline", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_an_existing_file_is_left_as_it_is(saved, gate_run, capsys):
    before = saved.read_bytes()
    code, out, err = call(capsys, "save", gate_run("other"), "--out", saved)
    assert (code, out) == (ExitCode.USAGE, "")
    assert "exists and is left as it is. Renew it with: langgap baseline update" in err
    assert saved.read_bytes() == before


def test_an_incomplete_run_is_refused_and_nothing_is_written(saved, gate_run, tmp_path, capsys):
    run = gate_run("broken", failed=[("awq", "ko")])
    for arguments in (("save", run, "--out", tmp_path / "new.lock"), ("update", saved, run, "--reason", "x")):
        before = saved.read_bytes()
        code, _, err = call(capsys, *arguments)
        assert code == ExitCode.INCOMPLETE
        assert "awq 4-bit, perplexity, ko: failed, out of memory" in err
        assert saved.read_bytes() == before
    assert not (tmp_path / "new.lock").exists()


def test_update_wants_a_reason_and_tells_what_changed(saved, gate_run, capsys):
    run = gate_run("next", worse={("awq", "ko"): 1.0}, noise=0.0)
    assert call(capsys, "update", saved, run)[0] == ExitCode.USAGE
    assert "The reason is empty" in call(capsys, "update", saved, run, "--reason", " ")[2]
    code, out, _ = call(capsys, "update", saved, run, "--reason", "faster kernels", "--who", "Bo")
    assert code == ExitCode.OK
    assert "Bo: faster kernels (21 cells" in out
    assert "awq 4-bit, perplexity, ko: nats_per_token" in out
    shown = call(capsys, "show", saved)[1]
    assert shown.index("Bo: faster kernels") < shown.index("Ada: first baseline")


def test_show_as_json(saved, capsys):
    found = json.loads(call(capsys, "show", saved, "--json")[1])
    assert found["changes"][0]["who"] == "Ada"
    assert len(found["cells"]) == 21


def test_diff(saved, gate_run, tmp_path, capsys):
    assert "Nothing differs in 21 cells." in call(capsys, "diff", saved, saved)[1]
    run = gate_run("next", worse={("awq", "ko"): 1.0}, noise=0.0, methods=("none", "awq"), libraries={"torch": "3"})
    out = call(capsys, "diff", saved, run)[1]
    assert "warning: torch: '2.13.0' in the baseline, '3' in the run (14 cells)" in out
    assert "gone: rtn 4-bit, perplexity, ko" in out
    assert "awq 4-bit, perplexity, ko: nats_per_token" in out
    assert json.loads(call(capsys, "diff", saved, run, "--json")[1])["gone"][0].startswith("rtn 4-bit")


def test_verify(saved, capsys, tmp_path):
    assert call(capsys, "verify", saved)[0] == ExitCode.OK
    lines = saved.read_text().splitlines()
    saved.write_text("\n".join(line for line in lines if '"language":"ja"' not in line) + "\n")
    code, _, err = call(capsys, "verify", saved)
    assert code == ExitCode.BASELINE
    assert f"langgap baseline verify {saved} --seal" in err
    assert "whole, 15 cells" in call(capsys, "verify", saved, "--seal")[1]
    assert call(capsys, "verify", saved)[0] == ExitCode.OK
    old = tmp_path / "old.toml"
    old.write_text('max_age_days = 0\n[[rule]]\nmetric = "accuracy"\nmargin = 0.1\n')
    assert "stale: 15 of 15 cells" in call(capsys, "verify", saved, "--policy", old)[1]


def test_part_of_a_run(gate_run, tmp_path, capsys):
    code, out, _ = call(capsys, "save", gate_run("some"), "--out", tmp_path / "part.lock", "--method", "awq*")
    assert code == ExitCode.OK
    assert "14 cells of 2 variants" in out


def test_a_misspelt_action_is_told(capsys):
    assert call(capsys, "sav")[0] == ExitCode.USAGE
