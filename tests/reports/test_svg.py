"""What happens to matplotlib's SVG on its way into the page."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from reports.palette import DARK, LIGHT, marks
from reports.svg import Styles, document, markup


def test_schemes_name_the_same_colours() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)


def test_marks_differ_in_colour_and_shape() -> None:
    found = marks([("none", "n", True), *((f"v{i}", f"m{i}", False) for i in range(42))])
    assert len({(mark.role, mark.shape) for mark in found.values()}) == 43


def test_draws_of_a_method_share_a_mark() -> None:
    found = marks([("awq, draw 0", "awq", False), ("rtn", "rtn", False), ("awq, draw 1", "awq", False)])
    assert found["awq, draw 0"] == found["awq, draw 1"] != found["rtn"]


def test_colour_without_a_role_is_refused() -> None:
    figure = Figure()
    figure.add_subplot().plot([0, 1], color="#123456")
    with pytest.raises(ValueError, match="#"):
        markup(figure, "x", "x", Styles())


def test_text_is_escaped() -> None:
    figure = Figure(facecolor=LIGHT["page"])
    figure.text(0.5, 0.5, "<b> & 한", color=LIGHT["ink"])
    drawn = document(figure, "x", 'a "quoted" <name>')
    assert "&lt;b&gt; &amp; 한" in drawn
    assert "<name>" not in drawn
