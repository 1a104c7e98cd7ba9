"""README and docs say what the code does: parameters, commands, sweep files, links, exit codes, examples."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

import methods
from harness import toml
from harness.cli import parser
from harness.commands.sweep import read_config
from harness.config import load_config, parse_config
from harness.exits import ExitCode
from harness.tasks import all_tasks
from results.policy import parse_policy

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def section(text: str, title: str) -> str:
    """From a heading to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,6}} |\Z)", text, re.M | re.S)
    assert found, f"there is no section '{title}'"
    level = len(found[1])
    rest = text[found.start(2) :]
    end = re.search(rf"^#{{1,{level}}} ", rest, re.M)
    return rest[: end.start()] if end else rest


def rows(text: str) -> list[list[str]]:
    lines = (line for line in text.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def commands(text: str) -> list[str]:
    """Every call of our command line that stands in a code span or a shell block."""
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))]
    lines = [line for block in fenced(text, "sh") for line in block.splitlines()]
    found = [re.search(r"(?:^|[ /])(?:langgap|python -m harness) ([a-z-][^&|#\\]*)", line) for line in [*spans, *lines]]
    return [match[1].strip() for match in found if match]


COMMANDS = sorted({command for path in PAGES for command in commands(read(path))})
SWEEPS = [command for command in COMMANDS if command.split()[0] in ("sweep", "plan")]


@pytest.mark.parametrize("method", methods.names())
def test_a_method_is_documented_with_its_parameters_and_defaults(method):
    table = rows(section(read(DOCS / "methods.md"), method))
    documented = {row[0]: row[1] for row in table if row[0].startswith("`")}
    fields = methods.fields(method)
    assert documented == {f"`{key}`": f"`{toml.inline(field.default)}`" for key, field in fields.items()}


@pytest.mark.parametrize("task", all_tasks())
def test_a_task_is_documented_with_its_parameters(task):
    (row,) = [row for row in rows(section(read(DOCS / "statistics.md"), "What is read")) if row[0] == f"`{task}`"]
    assert re.findall(r"`(\w+)`", row[2]) == list(all_tasks()[task].fields)


def test_commands_are_found_in_the_pages():
    assert {"sweep --quick", "methods awq", "cache prune"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_pages_exists(command):
    words = shlex.split(command)
    if len(words) == 1:  # a mention, not a call: its arguments are left out
        with pytest.raises(SystemExit) as leaving:
            parser().parse_known_args([*words, "--help"])
        assert leaving.value.code == 0
    else:
        assert parser().parse_known_args(words)[1] == []


@pytest.mark.parametrize("command", SWEEPS)
def test_a_sweep_of_the_pages_is_valid(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert read_config(parser().parse_args(shlex.split(command))).methods


def snippets() -> list[tuple[str, str]]:
    """(page, TOML) of every fenced sweep file, and of indented blocks that hold a table."""
    found = []
    for path in PAGES:
        text = read(path)
        indented = (re.sub("^    ", "", block, flags=re.M) for block in re.findall(r"(?:^    .*\n)+", text, re.M))
        blocks = [*fenced(text, "toml"), *(block for block in indented if "[[" in block)]
        found += [(name(path), block) for block in blocks]
    return found


def is_policy(snippet: str) -> bool:
    return "[[rule]]" in snippet


@pytest.mark.parametrize(("page", "snippet"), [item for item in snippets() if not is_policy(item[1])])
def test_a_sweep_file_of_the_pages_is_valid(page, snippet, monkeypatch):
    monkeypatch.setattr("harness.corpora.check_corpus", lambda corpus, languages: [])  # files that readers have
    mapping = {"method": [{"name": "none"}], **tomllib.loads(snippet)}
    assert parse_config(mapping, page).tasks


@pytest.mark.parametrize(("page", "snippet"), [item for item in snippets() if is_policy(item[1])])
def test_a_policy_of_the_pages_is_valid(page, snippet):
    assert parse_policy(tomllib.loads(snippet), page).remarks == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=name)
def test_an_example_is_valid(path):
    assert load_config(path).methods


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", read(path), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_relative_links_resolve(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", read(path)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_files_named_in_the_pages_exist():
    spans = {span for path in PAGES for span in re.findall(r"`([^`\s]+)`", read(path))}
    named = {span for span in spans if re.fullmatch(r"(harness|methods|results|reports|tests|examples)/[\w./-]+", span)}
    assert "results/statistics.py" in named
    assert [span for span in sorted(named) if not (ROOT / span).exists()] == []


def test_exit_codes_are_those_of_the_code():
    table = rows(section(read(DOCS / "run-folder.md"), "Exit codes"))
    assert {int(row[0]) for row in table if row[0].isdigit()} == set(ExitCode)


def test_our_environment_variables_are_documented():
    used = {word for path in (ROOT / "harness").rglob("*.py") for word in re.findall(r"LANGGAP_[A-Z]+", read(path))}
    documented = {row[0] for row in rows(section(read(DOCS / "run-folder.md"), "Environment variables"))}
    assert {f"`{word}`" for word in used} <= documented


def test_the_record_of_the_page_is_one():
    from results.record import Record

    record, sample = map(json.loads, fenced(read(DOCS / "run-folder.md"), "json"))
    schema = json.loads(read(ROOT / "results" / "schema" / "record-1.json"))
    assert set(record) == set(schema["properties"]) - {"answers"}  # which a task that asks no questions has not
    del record["samples"]
    assert Record.from_json(record).to_json() == record
    assert set(sample) == {"id", "group", "quantities", "source_language"}


def test_the_method_of_the_page_is_listed_and_works(tmp_path, tiny_folder, monkeypatch):
    from methods import _listing
    from methods.artifact import load
    from methods.base import Source

    (code,) = fenced(read(DOCS / "methods.md"), "python")
    (tmp_path / "halve.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(_listing, "FOLDER", tmp_path)
    assert _listing.names() == ("halve",)
    assert _listing.fields("halve")["factor"].help == "What weights are multiplied by."
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "halve", None)  # so that it is taken out again
    del sys.modules["halve"]
    method = importlib.import_module("halve").Halve()
    source = Source(tiny_folder(), "digest")
    compressed = method.compress(source, None, tmp_path / "out")
    halved, original = load(compressed.folder), source.model()
    name = "model.layers.0.mlp.up_proj.weight"
    assert halved.get_parameter(name).equal(original.get_parameter(name) * 0.5)


@pytest.mark.parametrize("path", sorted((DOCS / "decisions").glob("*.md")), ids=name)
def test_a_decision_is_one_short_page(path):
    text = read(path)
    assert text.startswith(f"# {path.name[:4]}: ")
    assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.M) == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 40
