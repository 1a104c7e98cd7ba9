"""The shell steps of docs/ci.md, run as GitHub and GitLab run them, in a toy repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.cli import main
from harness.exits import ExitCode

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
GITHUB, GITLAB = map(yaml.safe_load, re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S))
SWEEP = """
models = ["model"]
languages = ["en", "ko"]
limit = 8
[[method]]
name = "none"
[[method]]
name = "rtn"
granularity = "row"
[[task]]
name = "perplexity"
[[task]]
name = "footprint"
"""


def github(name):
    """The script of one step."""
    (step,) = (step for step in GITHUB["jobs"]["gate"]["steps"] if step.get("name") == name)
    return step["run"]


def gitlab():
    """The script of the job, without what installs."""
    (job,) = GITLAB.values()
    assert all(line.startswith("pip install") for line in job["before_script"])
    return job["script"]


class Repository:
    """A checkout with `langgap` on its PATH."""

    def __init__(self, folder):
        self.folder = folder
        self.summary = folder / "step-summary"
        binaries = folder / "bin"
        binaries.mkdir()
        program = binaries / "langgap"
        program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m harness "$@"\n')
        program.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "LANGGAP_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, script):
        """By the shell and with the options that GitHub gives it."""
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600, check=False
        )


@pytest.fixture(scope="module")
def gated(tiny_folder, tmp_path_factory):
    """A repository in which the sweep has run, a baseline is saved, and both gates have run: what they said."""
    repository = Repository(tmp_path_factory.mktemp("repository"))
    shutil.copytree(tiny_folder(), repository.folder / "model")
    (repository.folder / "sweep.toml").write_text(SWEEP)
    for script in (github("measure"), "langgap baseline save runs/ci --out baseline.lock"):
        done = repository.run(script)
        assert done.returncode == 0, done.stderr
    return repository, repository.run(github("gate")), repository.run("\n".join(gitlab()[1:]))


def test_the_workflow_passes_on_what_it_measured(gated):
    repository, done, _ = gated
    assert done.returncode == 0, done.stderr
    assert "::error" not in done.stderr
    assert "✓ PASS" in done.stdout
    assert repository.summary.read_text(encoding="utf-8").startswith("## ✓ PASS")
    assert ElementTree.parse(repository.folder / "gate.xml").getroot().get("failures") == "0"


def test_so_does_the_job_which_measures_alike(gated):
    repository, _, done = gated
    assert gitlab()[0] == github("measure")
    assert done.returncode == 0, done.stderr
    assert "::error" not in done.stderr
    assert (repository.folder / "gate.md").read_text(encoding="utf-8").startswith("## ✓ PASS")


def test_both_keep_files_that_there_are(gated):
    uploaded = GITHUB["jobs"]["gate"]["steps"][-1]["with"]["path"].split()
    (job,) = GITLAB.values()
    for name in {*uploaded, *job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]}:
        assert (gated[0].folder / name).is_file(), name


@pytest.mark.parametrize(
    ("run", "code"),
    [({"worse": {("awq", "ko"): 9.0}}, ExitCode.REGRESSED), ({"passages": 2}, ExitCode.INCONCLUSIVE)],
)
def test_the_step_stops_the_workflow_with_the_gates_code(gate_run, tmp_path, run, code):
    (tmp_path / "repository").mkdir()
    repository = Repository(tmp_path / "repository")
    saved = repository.folder / "baseline.lock"
    assert main(["baseline", "save", str(gate_run("first")), "--out", str(saved)]) == ExitCode.OK
    shutil.copytree(gate_run("second", **run), repository.folder / "runs" / "ci")
    done = repository.run(github("gate"))
    assert done.returncode == code
    assert done.stderr.startswith("::error title=")
    assert repository.summary.read_text(encoding="utf-8").startswith(("## ✗ FAIL", "## ? INCONCLUSIVE"))
