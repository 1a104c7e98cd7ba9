"""The map of language neurons: its table holds every count, its plot draws them and nothing where there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports import plot_files
from reports.neurons import neurons_plot, neurons_table, write_neurons

COUNTS = {"en": [3, 0, 1], "ko": [0, 57, 20], "th": [0, 0, 0]}


def test_the_table_has_a_row_for_each_language_and_block() -> None:
    found = neurons_table(COUNTS)
    assert list(found.columns) == ["language", "block", "neurons"]
    assert found.groupby("language", sort=False)["neurons"].apply(list).to_dict() == COUNTS


def test_the_map_draws_a_cell_where_there_are_neurons_the_fuller_the_more() -> None:
    cells, totals = neurons_plot(COUNTS, "m").figure.axes
    drawn = {(round(cell.get_x() + 0.5), round(cell.get_y() + 0.42)): cell.get_alpha() for cell in cells.patches}
    assert set(drawn) == {(0, 0), (2, 0), (1, 1), (2, 1)}  # (block, row)
    assert drawn[1, 1] == 1.0
    assert drawn[2, 0] < drawn[0, 0] < drawn[2, 1] < 1.0
    assert [label.get_text() for label in cells.get_yticklabels()] == ["en English", "ko 한국어", "th ไทย"]
    assert cells.get_xlabel() == "block (fullest colour: 57 neurons)"
    assert [bar.get_width() for bar in totals.patches] == [4, 77, 0]
    assert [text.get_text().strip() for text in totals.texts] == ["4", "77", "0"]


def test_files_are_the_same_each_time_and_colours_are_variables(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_neurons(tmp_path / name, {"en": [1, 0], "fr": [0, 2]}, "a $model$")
    one, other = ((tmp_path / name / "plots" / "neurons.svg").read_text() for name in ("a", "b"))
    assert one == other
    assert "a $model$" in one
    assert re.search(r"fill:var\(--c1\);opacity:0\.12", one)
    assert (tmp_path / "a" / "plots" / "neurons.png").stat().st_size > 5000
    assert (
        tmp_path / "a" / "tables" / "neurons.csv"
    ).read_text() == "language,block,neurons\nen,0,1\nen,1,0\nfr,0,0\nfr,1,2\n"


def test_a_png_without_glyphs_is_skipped_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    write_neurons(tmp_path, {"en": [1, 0], "fr": [0, 2]}, "m", heard.append)
    assert (heard, (tmp_path / "plots" / "neurons.png").is_file()) == ([], True)
    monkeypatch.setattr(plot_files, "fonts_for", lambda text: ([], "한" if "한" in text else ""))
    write_neurons(tmp_path, COUNTS, "m", heard.append)
    assert "neurons" in heard[0]
    assert "한" in heard[0]
    assert "fonts-noto-cjk" in heard[0]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["neurons.svg"]


def test_no_neurons_at_all_are_drawn_too() -> None:
    assert all(axes.get_xlabel() for axes in neurons_plot({"en": [0], "ko": [0]}, "m").figure.axes)
