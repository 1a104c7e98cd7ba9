from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.cli import main
from harness.exits import ExitCode
from harness.problems import UserError

FAMILIES = ("sweep", "plan", "report", "compress", "export", "evaluate", "methods", "tasks", "languages", "models")
COMMANDS = (*FAMILIES, "gate", "baseline", "lape", "doctor", "cache", "cache list", "cache prune")


def langgap(*arguments, **environment):
    command = [sys.executable, "-m", "harness", *arguments]
    root = Path(cli.__file__).parent.parent
    return subprocess.run(
        command, capture_output=True, text=True, cwd=root, env={**os.environ, **environment}, timeout=120, check=False
    )


def fail_with(monkeypatch, error):
    """Make `langgap languages` fail."""

    def run(args):
        raise error

    monkeypatch.setattr("harness.commands.listings.run_languages", run)
    return main(["languages"])


class TestHelp:
    def test_without_a_command_is_a_usage_error_that_shows_the_help(self, capsys):
        assert main([]) == ExitCode.USAGE
        out, err = capsys.readouterr()
        assert out == ""
        assert "start here:" in err

    @pytest.mark.parametrize("command", COMMANDS)
    def test_of_every_command_has_prose_and_fits_a_terminal(self, command, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "100")
        assert main([*command.split(), "--help"]) == ExitCode.OK
        out, err = capsys.readouterr()
        assert err == ""
        assert out.startswith(f"usage: langgap {command}")
        assert max(map(len, out.splitlines())) <= 100

    def test_of_every_command_but_listings_has_an_example_that_parses(self):
        seen = 0
        for command in COMMANDS:
            help_text = cli.parser().format_help() if not command else _help(command)
            for line in help_text.splitlines():
                if line.startswith("  langgap "):
                    words = line.split("   ")[0].split() if "   " in line.strip() else line.split()
                    cli.parser().parse_args(words[1:])
                    seen += 1
        assert seen > 15

    def test_is_the_same_by_module(self):
        done = langgap("--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert "compress" in done.stdout


def _help(command):
    import contextlib
    import io

    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        main([*command.split(), "--help"])
    return stream.getvalue()


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "sentences"),
        [
            ("swep", ["'swep' is not one of sweep, plan,", "Did you mean 'sweep'?", "`langgap --help`"]),
            ("sweep --langages en", ["'--langages' is not understood. Did you mean '--languages'?"]),
            ("sweep --lim 3", ["'--lim' is not understood. Did you mean '--limit'?"]),
            ("sweep --limit 0", ["--limit: 0 is too small: 1 or more."]),
            ("sweep --limit many", ["--limit: invalid integer value: 'many'."]),
            ("sweep --method rnt", ["There is no method 'rnt'. Did you mean 'rtn'?"]),
            ("sweep --method rtn:bits", ["'rtn:bits' has 'bits' where key=value belongs"]),
            ("sweep no.toml", ["There is no sweep file 'no.toml'."]),
            ("gate a b", ["'b' is not understood.", "`langgap gate --help`"]),
            ("report a b", ["a is no run folder", "Make a run with"]),
            ("report", ["the following arguments are required: RUN."]),
            ("compress m --method rtn", ["the following arguments are required: --out."]),
            ("methods nune", ["There is no method 'nune'. Did you mean 'none'?"]),
            ("tasks nonesuch", ["There is no task 'nonesuch'."]),
            ("cache prune", ["Say what may go: --older-than 30d, --kind artifacts, or --all."]),
            ("cache prune --all --older-than 3d", ["--all and --older-than say different things"]),
            ("cache prune --older-than soon", ["--older-than: 'soon' is no length of time; write 12h, 30d or 8w."]),
            ("cache prune --kind artefacts", ["'artefacts' is not one of", "Did you mean 'artifacts'?"]),
            ("cache lst", ["'lst' is not one of list, prune. Did you mean 'list'?"]),
            ("export nowhere --out x", ["The artifact 'nowhere' does not exist: it has no manifest.json."]),
            ("evaluate m --task fidelity", ["`langgap sweep --task fidelity` does that."]),
        ],
    )
    def test_mistakes_are_one_sentence_on_stderr_and_exit_2(self, arguments, sentences, capsys):
        assert main(arguments.split()) == ExitCode.USAGE
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("langgap: ")
        assert "Traceback" not in err
        for sentence in sentences:
            assert sentence in err

    def test_abbreviated_options_are_refused(self, capsys):
        assert main(["methods", "--js"]) == ExitCode.USAGE


class TestEndings:
    def test_a_user_error_gives_its_exit_code(self, monkeypatch, capsys):
        assert fail_with(monkeypatch, UserError("The disk is full.", ExitCode.STORE)) == ExitCode.STORE
        assert capsys.readouterr().err == "langgap: The disk is full.\n"

    def test_an_interruption_says_how_to_go_on(self, monkeypatch, capsys):
        assert fail_with(monkeypatch, KeyboardInterrupt()) == ExitCode.INTERRUPTED
        assert (
            capsys.readouterr().err
            == "langgap: Interrupted. What was finished is kept; go on with: langgap languages\n"
        )

    def test_a_mistake_of_ours_is_70_and_says_how_to_see_more(self, monkeypatch, capsys):
        monkeypatch.delenv("LANGGAP_DEBUG", raising=False)
        assert fail_with(monkeypatch, ZeroDivisionError("division by zero")) == ExitCode.INTERNAL
        err = capsys.readouterr().err
        assert "a mistake of ours: ZeroDivisionError: division by zero" in err
        assert "LANGGAP_DEBUG=1" in err
        assert "Traceback" not in err

    def test_and_shows_more_when_asked(self, monkeypatch, capsys):
        monkeypatch.setenv("LANGGAP_DEBUG", "1")
        assert fail_with(monkeypatch, ZeroDivisionError()) == ExitCode.INTERNAL
        assert "Traceback" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "error", [OSError(28, "No space left on device", "/x"), PermissionError(13, "denied", "/x")]
    )
    def test_a_full_or_foreign_disk_is_6(self, monkeypatch, capsys, error):
        assert fail_with(monkeypatch, error) == ExitCode.STORE
        assert "/x: " in capsys.readouterr().err

    def test_messages_of_packages_that_cannot_know_user_errors_are_shown_as_such(self, monkeypatch, capsys):
        from methods.base import UnsupportedModel
        from results.files import StoreError
        from results.lock import RunLocked
        from results.store import UnreadableRun

        for error, code in (
            (UnsupportedModel("GPT-2 is not known"), ExitCode.USAGE),
            (RunLocked("runs/x is in use"), ExitCode.USAGE),
            (UnreadableRun("runs/x is no run folder"), ExitCode.USAGE),
            (StoreError("runs/x cannot be written"), ExitCode.STORE),
        ):
            assert fail_with(monkeypatch, error) == code
            assert capsys.readouterr().err == f"langgap: {error}\n"

    def test_every_foreign_exception_exists(self):
        import importlib

        for module, classes in cli.FOREIGN.items():
            for name in classes:
                assert issubclass(getattr(importlib.import_module(module), name), Exception)

    def test_a_closed_pipe_is_no_noise(self):
        command = f"{sys.executable} -m harness languages | true; exit ${{PIPESTATUS[0]}}"
        root = Path(cli.__file__).parent.parent
        # A reader that left before we wrote: the pipe is closed for certain only if we start late.
        slow = f"sleep 0.3; {command}"
        done = subprocess.run(["bash", "-c", slow], capture_output=True, text=True, cwd=root, check=False)
        assert done.stderr == ""
        assert done.returncode in (0, ExitCode.PIPE)


class TestListings:
    def test_languages(self, capsys):
        assert main(["languages"]) == ExitCode.OK
        out = capsys.readouterr().out
        assert "ko    Korean      한국어            Hang    kor_Hang" in out

    def test_methods(self, listed, capsys):
        assert main(["methods"]) == ExitCode.OK
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert rows[1:] == [
            ["awq", "yes", "Scale", "search"],
            ["none", "-", "The", "original"],
            ["rtn", "-", "Plain", "rounding"],
        ]

    def test_one_method_shows_its_parameters(self, listed, capsys):
        assert main(["methods", "rtn"]) == ExitCode.OK
        out = capsys.readouterr().out
        assert out.startswith("rtn: Plain rounding\n")
        assert "bits         4          Bits per weight." in out
        assert "symmetric    false" in out

    def test_a_method_without_parameters_says_so(self, listed, capsys):
        assert main(["methods", "none"]) == ExitCode.OK
        assert "It has no parameters." in capsys.readouterr().out

    def test_tasks(self, listed, capsys):
        assert main(["tasks"]) == ExitCode.OK
        out = capsys.readouterr().out
        assert "footprint   -           Bytes by part" in out
        assert main(["tasks", "perplexity"]) == ExitCode.OK
        assert "window     -        tokens" in capsys.readouterr().out

    @pytest.mark.parametrize("command", ["methods", "tasks", "languages", "models"])
    def test_as_json(self, command, capsys):
        assert main([command, "--json"]) == ExitCode.OK
        assert json.loads(capsys.readouterr().out)

    def test_models_name_the_bundled_one(self, capsys):
        assert main(["models"]) == ExitCode.OK
        assert "bundled:gemma-3-270m" in capsys.readouterr().out


class TestCache:
    def test_list_and_prune(self, tmp_path, capsys):
        (tmp_path / "moments").mkdir()
        (tmp_path / "moments" / "abcd.safetensors").write_bytes(b"x" * 1_500_000)
        assert main(["cache", "list", "--cache", str(tmp_path)]) == ExitCode.OK
        out = capsys.readouterr().out
        assert "moments  abcd.safetensors  1.5 MB" in out
        assert "1 entries, 1.5 MB." in out
        assert main(["cache", "prune", "--all", "--dry-run", "--cache", str(tmp_path)]) == ExitCode.OK
        assert capsys.readouterr().out == "1 entries would go, 1.5 MB freed.\n"
        assert main(["cache", "prune", "--all", "--cache", str(tmp_path), "--json"]) == ExitCode.OK
        assert json.loads(capsys.readouterr().out)["removed"] == ["moments/abcd.safetensors"]
        assert main(["cache", "list", "--cache", str(tmp_path), "--json"]) == ExitCode.OK
        assert json.loads(capsys.readouterr().out) == []


class TestDoctor:
    def test_a_problem_is_exit_2_and_says_the_next_step(self, monkeypatch, capsys):
        from harness.doctor import Check

        checks = [Check("python", "ok", "3.12"), Check("torch", "problem", "missing", "pip install torch")]
        monkeypatch.setattr("harness.doctor.examine", lambda cache: iter(checks))
        assert main(["doctor"]) == ExitCode.USAGE
        assert capsys.readouterr().out.endswith("\nNext steps:\n  torch: pip install torch\n")
        monkeypatch.setattr("harness.doctor.examine", lambda cache: iter(checks[:1]))
        assert main(["doctor"]) == ExitCode.OK
        assert "All is well." in capsys.readouterr().out


class TestPlan:
    def test_toml_prints_the_resolved_configuration_which_runs_the_same(self, listed, tmp_path, capsys):
        arguments = ["--method", "rtn:bits=[3,4]", "--task", "footprint", "--languages", "en,th", "--seed", "3"]
        assert main(["plan", "--toml", *arguments]) == ExitCode.OK
        text = capsys.readouterr().out
        (tmp_path / "again.toml").write_text(text)
        assert main(["plan", str(tmp_path / "again.toml"), "--toml"]) == ExitCode.OK
        assert capsys.readouterr().out == text

    def test_json_is_for_programs_and_dry_run_is_the_same_plan(self, listed, monkeypatch, capsys):
        import harness.sweep  # noqa: F401 (it and what it imports keep the real `construct`)
        from harness.plan import Facts, ModelFacts

        facts = Facts({"m": ModelFacts("w", "float32", "cpu")}, {}, {})
        monkeypatch.setattr(
            "harness.facts.look", lambda *given: type("World", (), {"facts": facts, "models": {}, "texts": {}})
        )
        monkeypatch.setattr("harness.config.construct", lambda spec: None)
        arguments = ["--model", "m", "--method", "rtn", "--task", "footprint", "--languages", "en"]
        assert main(["plan", *arguments, "--json"]) == ExitCode.OK
        found = json.loads(capsys.readouterr().out)
        assert [(cell["done"], cell["cell"]["task"]) for cell in found["cells"]] == [(False, "footprint")]
        assert main(["sweep", *arguments, "--dry-run"]) == ExitCode.OK
        out = capsys.readouterr().out
        assert "rtn bits=4" in out
        assert out.endswith("1 cells, 0 measured, 1 to do.\n")
