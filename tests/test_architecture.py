"""Who may import whom, and what may not be imported to answer `--help`: enforced by reading the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("harness", "methods", "judges", "results", "reports")

OURS = {
    "harness": {"harness", "methods", "judges", "results", "reports"},
    "reports": {"reports", "results"},
    "methods": {"methods"},
    "judges": {"judges"},
    "results": {"results"},
}
"""Package -> what it may import of ours."""

ONLY_IN = {
    "torch": ("methods/", "harness/"),
    "openai": ("judges/endpoint.py", "judges/posting.py"),
    "httpx2": ("judges/posting.py",),
    "orjson": ("results/lines.py",),
    "py3langid": ("judges/language.py",),
    "lm_eval": ("harness/lmeval.py", "harness/lmtasks.py"),
    "ray": ("harness/executors/ray.py", "harness/executors/cluster.py"),
    "matplotlib": ("reports/",),
    "pandas": ("reports/",),
    "jinja2": ("reports/html.py",),
}
"""Library -> the files, or folders, that may import it."""

LIGHT = ("harness.cli", "harness.config", "harness.plan", "harness.specs", "harness.tasks", "methods", "methods.base")
"""Modules that import no library when they are imported."""

QUICK = (
    "--help",
    "sweep --help",
    "plan --help",
    "evaluate --help",
    "lape --help",
    "gate --help",
    "baseline update --help",
    "gate nowhere",
    "methods",
    "methods none",
    "tasks",
    "tasks perplexity",
    "languages",
    "cache list",
    "sweep --method nonesuch",
    "sweep --task zeroshot:tasks=nonesuch",
    "tasks --language ko",
    "judge --help",
    "judges api",
    "plan --toml --method none --task footprint",
)
"""Command lines that are answered without a library."""

HEAVY = ("torch", "numpy", "transformers", "scipy", "pandas", "matplotlib", "datasets", "jinja2", "rich", "safetensors")


def files():
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def imported(path):
    """(top-level module, whether only for type checkers) of every import in a file, wherever it stands."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(name.name.partition(".")[0], id(node) in typing_only) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.append(((node.module or "").partition(".")[0], id(node) in typing_only))
    return found


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_of_ours_follow_the_table(path):
    package = path.relative_to(ROOT).parts[0]
    ours = {name for name, _ in imported(path)} & set(PACKAGES)
    assert ours <= OURS[package]


@pytest.mark.parametrize("library", ONLY_IN)
def test_libraries_are_imported_only_where_they_belong(library):
    users = {str(path.relative_to(ROOT)) for path in files() if (library, False) in set(imported(path))}
    assert {user for user in users if not user.startswith(ONLY_IN[library])} == set()


@pytest.mark.parametrize(
    "name", ["cell", "metric", "estimate", "flips", "record", "lines", "store", "files", "lock", "environment"]
)
def test_vocabulary_and_store_use_the_standard_library_only_but_for_reading_json(name):
    used = {name for name, _ in imported(ROOT / "results" / f"{name}.py")}
    assert used <= set(sys.stdlib_module_names) | {"results", *(["orjson"] if name == "lines" else [])}


def test_no_file_is_called_by_a_name_that_says_nothing():
    vague = {"utils", "util", "common", "helpers", "misc", "manager"}
    assert [str(path) for path in files() if path.stem.strip("_") in vague] == []


def test_the_table_names_files_that_may_exist():
    for places in ONLY_IN.values():
        for place in places:
            assert place.partition("/")[0] in PACKAGES


def heavy_after(program):
    """Heavy libraries in sys.modules after a program has run in a process of its own."""
    report = f"\nimport sys\nprint('\\n' + ' '.join(sorted(set({HEAVY!r}) & set(sys.modules))), end='')"
    done = subprocess.run(
        [sys.executable, "-c", program + report], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    return done.stdout.rpartition("\n")[2].split()


def test_light_modules_import_nothing_heavy():
    assert heavy_after("".join(f"import {module}\n" for module in LIGHT)) == []


def test_quick_answers_import_nothing_heavy():
    """All in one process: whichever of them imported something, it would still be there at the end."""
    assert heavy_after(f"from harness.cli import main\nfor line in {QUICK!r}: main(line.split())") == []


@pytest.mark.parametrize("package", PACKAGES)
def test_package_files_import_the_standard_library_and_ours_only(package):
    modules = {name for name, _ in imported(ROOT / package / "__init__.py")}
    assert modules <= set(sys.stdlib_module_names) | set(PACKAGES)
