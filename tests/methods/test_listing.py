from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import methods
from methods import _listing

SHRINK = '''
"""Shrinks things."""
import a_library_nobody_has
from dataclasses import dataclass
from typing import ClassVar
from methods.base import Compressor

@dataclass(frozen=True)
class Recipe:
    inner: int = 1

@dataclass(frozen=True)
class Shrink(Compressor):
    """Makes it small.

    And more."""

    code: ClassVar[int] = 3
    needs: ClassVar[frozenset[str]] = frozenset({"abs_mean"})
    bits: int = 4
    """Bits per weight:
    2 to 8."""
    share: float = -0.5
    granularity: str = "group:128"
    """Rows or groups."""
    clip: bool | None = None
    loose = 7

    def compress(self): ...
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(_listing, "FOLDER", tmp_path)
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "base.py").write_text("class Compressor: ...")
    (tmp_path / "artifact.py").write_text("class Writer: ...")
    (tmp_path / "_walk.py").write_text("from x import Compressor\nclass Hidden(Compressor): ...")
    (tmp_path / "shrink.py").write_text(textwrap.dedent(SHRINK))
    return tmp_path


def test_a_method_is_a_file_with_a_compressor_and_no_underscore(folder):
    assert methods.names() == ("shrink",)


def test_the_summary_is_the_docstring_s_first_line(folder):
    assert methods.summary("shrink") == "Shrinks things"
    (folder / "plain.py").write_text('class Plain(base.Compressor):\n    """The class\'s own."""')
    assert methods.summary("plain") == "The class's own"


def test_fields_come_with_type_default_and_help_on_one_line(folder):
    assert methods.fields("shrink") == {
        "bits": methods.Field("int", 4, "Bits per weight: 2 to 8."),
        "share": methods.Field("float", -0.5, ""),
        "granularity": methods.Field("str", "group:128", "Rows or groups."),
        "clip": methods.Field("bool | None", None, ""),
    }


def test_code_and_needs(folder):
    assert methods.code("shrink") == 3
    assert methods.needs("shrink") == {"abs_mean"}
    (folder / "plain.py").write_text("class Plain(Compressor):\n    code = 2")
    assert methods.code("plain") == 2
    assert methods.needs("plain") == frozenset()


def test_a_field_without_default_is_refused_by_name(folder):
    (folder / "bad.py").write_text("class Bad(Compressor):\n    bits: int")
    with pytest.raises(TypeError, match=r"Bad\.bits has no default"):
        methods.names()


def test_two_compressors_in_one_file_are_refused(folder):
    (folder / "two.py").write_text("class A(Compressor): ...\nclass B(Compressor): ...")
    with pytest.raises(TypeError, match=r"methods/two\.py holds 2 compressors"):
        methods.names()


def test_an_unknown_name_is_a_key_error_that_lists_the_known(folder):
    for ask in (methods.summary, methods.fields, methods.needs, methods.code, methods.load):
        with pytest.raises(KeyError, match=r"no method 'base'\. Known: shrink"):
            ask("base")


@pytest.mark.parametrize("name", methods.names())
def test_what_ast_reads_is_what_python_sees(name):
    import dataclasses

    kind = methods.load(name)
    assert kind.__name__ not in ("Compressor",)
    listed = {key: field.default for key, field in methods.fields(name).items()}
    assert listed == {field.name: field.default for field in dataclasses.fields(kind)}
    assert methods.code(name) == kind.code
    assert methods.needs(name) == kind.needs
    assert kind() == kind(**listed)


@pytest.mark.parametrize("name", methods.names())
def test_every_method_and_every_field_says_what_it_is(name):
    assert methods.summary(name)
    assert [key for key, field in methods.fields(name).items() if not field.help] == []


def test_no_file_takes_the_name_of_a_function_of_the_package():
    files = {path.stem for path in _listing.FOLDER.glob("*.py")}
    assert files & set(methods.__all__) == set()


def test_listing_imports_no_library():
    program = (
        "import sys, methods\n"
        "for name in methods.names(): methods.summary(name), methods.fields(name), methods.needs(name)\n"
        "print(sorted({'torch', 'numpy', 'transformers', 'methods.base'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
