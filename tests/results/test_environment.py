"""What produced a number: complete, comparable, and silent about whose machine it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from results import environment
from results.cell import digest_of
from results.environment import Environment, capture


def test_capture_says_what_moves_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    found = capture(threads=2, accelerator="a GPU")
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.threads == {**found.threads, "OMP_NUM_THREADS": "2", "torch": "2"}
    assert found.libraries["numpy"].startswith("2.")
    assert "ray-that-is-not-there" not in found.libraries
    assert found.cores >= 1
    assert found.cpu
    assert found.accelerator == "a GPU"
    assert Environment.from_json(found.to_json()) == found
    assert digest_of(capture(2).to_json()) == digest_of(capture(2).to_json())


def test_no_path_and_no_name_of_a_user_is_kept() -> None:
    text = str(capture().to_json())
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert str(Path(environment.__file__).parent.parent) not in text


def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    package = tmp_path / "results"
    package.mkdir()
    assert environment._checkout(package) == (None, None)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "init", "-q"], check=True, env=clean)
    assert environment._checkout(package) == (None, None), "a checkout without a commit"
    (package / "a.py").write_text("")
    subprocess.run([*git, "add", "."], check=True, env=clean)
    subprocess.run([*git, "commit", "-q", "-m", "one", "--no-verify"], check=True, env=clean)
    commit, dirty = environment._checkout(package)
    assert commit is not None
    assert len(commit) == 40
    assert dirty is False
    (package / "a.py").write_text("changed")
    assert environment._checkout(package) == (commit, True)


def test_capture_imports_no_library() -> None:
    code = (
        "import sys; from results.environment import capture; capture(); "
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    root = Path(environment.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
