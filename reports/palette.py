"""Colours by role and the mark of each variant: Okabe and Ito's colours with a different shape each.

Plots are drawn with the light colours; in SVG each becomes a CSS variable of the same name, so that the page's
colour scheme decides. The light hex values are therefore all different.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LIGHT: dict[str, str] = {
    "page": "#ffffff",
    "ink": "#1b1d21",
    "muted": "#5c626b",
    "grid": "#dfe2e6",
    "c1": "#0072b2",
    "c2": "#d55e00",
    "c3": "#009e73",
    "c4": "#b5568c",
    "c5": "#b37a00",
    "c6": "#3a94c9",
    "g1": "#70767e",
    "g2": "#9aa0a8",
    "g3": "#c4c8ce",
}
DARK: dict[str, str] = {
    "page": "#15171a",
    "ink": "#eceef1",
    "muted": "#a6acb5",
    "grid": "#33373d",
    "c1": "#5aa9e6",
    "c2": "#ff8a3d",
    "c3": "#2fc79b",
    "c4": "#e69ac4",
    "c5": "#e6b04a",
    "c6": "#8fd0f5",
    "g1": "#b3b9c2",
    "g2": "#868d97",
    "g3": "#5a6069",
}

# (name in matplotlib, path in a 12 x 12 box) for each shape; seven, so that with six colours 42 marks differ.
SHAPES: tuple[tuple[str, str], ...] = (
    ("o", "M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9z"),
    ("s", "M2 2h8v8h-8z"),
    ("^", "M6 1.5l5 9h-10z"),
    ("D", "M6 .8l5.2 5.2l-5.2 5.2l-5.2-5.2z"),
    ("v", "M6 10.5l5-9h-10z"),
    ("P", "M4.2 1h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2z"),
    ("p", "M6 1l5.2 3.8l-2 6.2h-6.4l-2-6.2z"),
)
NONE_SHAPE = (
    "X",
    "M1 3.2l2.2-2.2l2.8 2.8l2.8-2.8l2.2 2.2l-2.8 2.8l2.8 2.8l-2.2 2.2l-2.8-2.8l-2.8 2.8l-2.2-2.2l2.8-2.8z",
)
COLOURS = ("c1", "c2", "c3", "c4", "c5", "c6")


@dataclass(frozen=True)
class Mark:
    """How one variant is drawn everywhere."""

    role: str
    shape: str
    path: str

    @property
    def colour(self) -> str:
        return LIGHT[self.role]


def marks(variants: Iterable[tuple[str, str, bool]]) -> Mapping[str, Mark]:
    """Label -> mark, for (label, method, is it `none`) in the order of the run; draws of one method share a mark."""
    chosen: dict[str, Mark] = {}
    by_method: dict[str, Mark] = {}
    for label, method, is_none in variants:
        count = len(by_method)
        mark = Mark(COLOURS[count % len(COLOURS)], *SHAPES[count % len(SHAPES)])
        chosen[label] = Mark("ink", *NONE_SHAPE) if is_none else by_method.setdefault(method, mark)
    return chosen
