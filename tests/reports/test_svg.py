"""What happens to matplotlib's SVG on its way into the page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.palette import DARK, LIGHT, marks
from reports.plots import PANEL, Panel, Plot
from reports.svg import POINTS, Styles, document, drawn, parts


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
        document(drawn(figure), "x", "x")


def test_text_is_escaped() -> None:
    figure = Figure(facecolor=LIGHT["page"])
    figure.text(0.5, 0.5, "<b> & 한", color=LIGHT["ink"])
    shown = document(drawn(figure), "x", 'a "quoted" <name>')
    assert "&lt;b&gt; &amp; 한" in shown
    assert "<name>" not in shown


def draw(ax: Axes) -> None:
    ax.plot([0, 1], [0, 5], marker="o", color=LIGHT["c1"])


def test_a_panel_taken_out_of_its_figure_holds_all_that_it_points_at() -> None:
    panels = [Panel(f"panel {i}", draw, height=2.0 + 0.1 * (i % 2)) for i in range(6)]
    plot = Plot("many", "six", panels, [("a word", "c1")])
    shown = parts(plot.drawing, plot.name, plot.boxes, [panel.title for panel in panels], Styles())
    assert len(shown) == 6
    ids: list[str] = []
    for number, part in enumerate(shown):
        root = ElementTree.fromstring(part)
        own = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        pointed = set(re.findall(r'(?:href="#|url\(#)([^")]+)', part))
        assert pointed
        assert pointed == set(own)
        ids += own
        assert [text.text for text in root.iter("text") if "panel" in str(text.text)] == [f"panel {number}"]
        left, top, width, height = map(float, root.attrib["viewBox"].split())
        assert (width, height) == (POINTS * PANEL[0], pytest.approx(POINTS * panels[number].tall))
        places = [(float(use.attrib["x"]), float(use.attrib["y"])) for use in root.iter("use")]
        assert places
        assert all(left < x < left + width and top < y < top + height for x, y in places)
    assert len(ids) == len(set(ids))
    assert "a word" not in "".join(shown)
    assert "a word" in document(plot.drawing, plot.name, plot.title)
