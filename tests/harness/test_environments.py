"""Environments of reference libraries: built whole or not at all; which library is where."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from harness import environments
from harness.environments import environment_of, install, states
from harness.problems import UserError
from methods._libraries import LIBRARIES, environments_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LANGGAP_CACHE", str(tmp_path))
    monkeypatch.setattr(environments, "here", lambda library: None)
    return tmp_path


def put(cache: Path, environment: str, distribution: str, version: str) -> None:
    site = cache / "environments" / environment / "lib" / "python3.11" / "site-packages"
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    python = cache / "environments" / environment / "bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.touch()


@pytest.mark.parametrize("name", ["auto-gptq", "autogptq", "ref_autogptq"])
def test_an_environment_is_found_by_every_name_of_its_library(name: str) -> None:
    assert environment_of(name) == "autogptq"


def test_a_name_that_does_not_exist_gets_the_nearest() -> None:
    with pytest.raises(UserError, match=r"There is no reference library 'torcho'. Did you mean 'torchao'\?"):
        environment_of("torcho")


def test_what_is_installed_is_told_with_its_place(cache: Path) -> None:
    put(cache, "autogptq", "auto-gptq", "0.7.1")
    put(cache, "reference", "hqq", "0.1.0")
    found = {state.method: state for state in states()}
    assert set(found) == {*LIBRARIES, "ref_bitsandbytes"}
    assert found["ref_autogptq"].installed == "0.7.1"
    assert found["ref_autogptq"].where == str(environments_folder() / "autogptq")
    assert found["ref_hqq"].works == (
        "no: 0.2.8.post1 is supported; install it with: langgap reference install reference"
    )
    assert found["ref_quanto"].installed is None
    assert found["ref_quanto"].works == "install it with: langgap reference install reference"


def test_one_that_cannot_be_built_leaves_nothing_and_tells_the_last_lines(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "ENVIRONMENTS", {"autogptq": ("./no-such-folder",)})
    said = r"the environment 'autogptq' could not be built; `-m pip install` ended with exit code 1. Its last lines:\n"
    with pytest.raises(UserError, match=said + r"(.*\n)*.*no-such-folder"):
        install("autogptq")
    assert [path.name for path in (cache / "environments").iterdir()] == ["autogptq.lock"]


def test_one_that_is_current_is_not_built_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], environment: str, lock: IO[str]) -> None:
        ran.append(command)
        (cache / "environments" / ".making-autoawq" / "bin").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(environments, "_run", run)
    put(cache, "autogptq", "auto-gptq", "0.7.1")
    assert install("autogptq") == (cache / "environments" / "autogptq", 0.0)
    assert ran == []
    put(cache, "autoawq", "autoawq", "0.2.8")  # another release
    folder, seconds = install("autoawq")
    assert seconds > 0
    assert ran[-1][-4:] == ["torch==2.13.0", "transformers==5.17.0", "accelerate==1.15.0", "autoawq==0.2.9"]
    assert not (folder / "lib").exists()  # the old one is gone


INSTALLER = """
import fcntl, sys
from harness.environments import _run
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
pip = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(300)"
_run([sys.executable, "-c", pip, sys.argv[2]], "reference", lock)
"""


def test_a_pip_that_outlives_its_installer_keeps_others_out(cache: Path) -> None:
    path, started = cache / "reference.lock", cache / "started"
    root = Path(environments.__file__).parents[1]
    installer = subprocess.Popen([sys.executable, "-c", INSTALLER, str(path), str(started)], cwd=root)
    while not (started.exists() and started.read_text()) and installer.poll() is None:
        time.sleep(0.05)
    installer.kill()
    installer.wait()
    with path.open("w") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(int(started.read_text()), signal.SIGKILL)
        fcntl.flock(lock, fcntl.LOCK_EX)  # as soon as it has ended
