from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for drivers.py


@pytest.fixture
def words(tiny_folder):
    """``words(run, cache, method)``: the command line of a small sweep."""

    def sweep(run, cache, method="rtn:granularity=row"):
        command = ["sweep", "--model", tiny_folder(), "--languages", "en,ko", "--method", "none", "--method", method]
        for task in ("perplexity", "fidelity", "footprint"):
            command += ["--task", task]
        return [str(word) for word in [*command, "--limit", "2", "--out", run, "--cache", cache]]

    return sweep


@pytest.fixture
def tmpfs(tmp_path):
    """``tmpfs(bytes)`` -> a folder that is a small disk of its own. Skips where nothing may be mounted."""
    mounted = []

    def mount(size: int) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)
