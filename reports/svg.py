"""matplotlib's SVG made fit for a page: text as text, colours as CSS variables, no inline style, no foreign address.

A strict Content-Security-Policy forbids ``style="..."``, so each distinct style becomes a class; the rules of all
plots together are part of the page's one hashed style sheet.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import matplotlib

from reports.palette import DARK, LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONTS = (
    'system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK KR", "Apple SD Gothic Neo", "Malgun Gothic", '
    '"Noto Sans CJK JP", "Noto Sans CJK SC", sans-serif'
)
BASE_RULES = (
    f".plot text{{font-family:{FONTS}}}",
    ".plot *{stroke-linejoin:round;stroke-linecap:butt}",
)
AS_TEXT: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "langgap"}
"""Letters as letters, and the same ids each time. matplotlib reads both when it saves, not when it draws."""
_ROLES = {colour: role for role, colour in LIGHT.items()}
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
POINTS = 72
"""SVG units to an inch, in what matplotlib draws."""


@dataclass
class Styles:
    """Style declarations seen so far, each with its class name; the order of meeting them decides the names."""

    names: dict[str, str] = field(default_factory=dict)

    def name(self, declarations: str) -> str:
        return self.names.setdefault(declarations, f"p{len(self.names)}")

    def rules(self) -> list[str]:
        return [*BASE_RULES, *(f".{name}{{{text}}}" for text, name in self.names.items())]


def variables(colours: Mapping[str, str]) -> str:
    """``--page:#ffffff;--ink:...`` for a rule of CSS."""
    return ";".join(f"--{role}:{colour}" for role, colour in colours.items())


def scheme_rules() -> list[str]:
    """Both colour schemes: the reader's preference decides on screen, paper is always light."""
    return [
        f":root{{color-scheme:light dark;{variables(LIGHT)}}}",
        f"@media screen and (prefers-color-scheme:dark){{:root{{{variables(DARK)}}}}}",
    ]


def drawn(figure: Figure) -> str:
    """``figure`` as matplotlib writes SVG."""
    content = io.StringIO()
    with warnings.catch_warnings(), matplotlib.rc_context(AS_TEXT):
        # The text stays text: the reader's browser has the glyphs that the layout font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def parts(
    drawing: str, name: str, boxes: Sequence[tuple[float, float, float, float]], said: Sequence[str], styles: Styles
) -> list[str]:
    """Each axes of a drawing as an ``<svg>`` element to stand inside HTML. Adds the classes it needs to ``styles``.

    ``boxes``: left, top, width and height of each in inches. ``name`` is a word of letters, digits and hyphens, unique
    in the page: it begins every id. ``said`` is what a screen reader says of each.
    """
    root = ElementTree.fromstring(drawing)
    axes = [group for group in root.iter(f"{_SVG}g") if group.get("id", "").startswith("axes_")]
    defined = {one.get("id"): one for defs in root.iter(f"{_SVG}defs") for one in defs}
    made = []
    for number, (group, box, description) in enumerate(zip(axes, boxes, said, strict=True)):
        _without_definitions(group)
        part = ElementTree.Element("svg", viewBox=" ".join(f"{POINTS * inches:g}" for inches in box))
        # A clip path must not stand in another element, which may not be shown.
        used = [defined[target] for target in dict.fromkeys(_references(group))]
        ElementTree.SubElement(part, "defs").extend(map(deepcopy, used))
        part.append(group)
        made.append(_serialise(_clean(part, f"{name}-{number}", description, styles)))
    return made


def document(drawing: str, name: str, description: str) -> str:
    """A drawing as a file of its own, with its colours for light and dark inside."""
    styles = Styles()
    root = ElementTree.fromstring(drawing)
    for child in list(root):
        if child.tag == f"{_SVG}metadata" or child.find(f"{_SVG}style") is not None:
            root.remove(child)
    _clean(root, name, description, styles)
    sheet = ElementTree.Element("style")
    sheet.text = "\n".join([*scheme_rules(), *styles.rules()])
    root.insert(0, sheet)
    root.set("xmlns", "http://www.w3.org/2000/svg")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{_serialise(root)}\n'


def _without_definitions(group: ElementTree.Element) -> None:
    for parent in group.iter():
        for child in parent.findall(f"{_SVG}defs"):
            parent.remove(child)


def _references(group: ElementTree.Element) -> Iterator[str]:
    """The ids that elements of a group point at."""
    for element in group.iter():
        if target := element.get(_HREF):
            yield target.removeprefix("#")
        if clip := element.get("clip-path"):
            yield clip.removeprefix("url(#").removesuffix(")")


def _clean(root: ElementTree.Element, name: str, description: str, styles: Styles) -> ElementTree.Element:
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.text = element.text if element.text and element.text.strip() else None
        element.tail = None
        _rewrite(element, name, styles)
    for unused in ("width", "height", "version"):
        root.attrib.pop(unused, None)
    root.attrib.update({"class": "plot", "role": "img", "aria-label": description})
    return root


def _rewrite(element: ElementTree.Element, name: str, styles: Styles) -> None:
    attributes = element.attrib
    identifier = attributes.pop("id", None)
    if identifier and element.tag in ("path", "clipPath", "pattern"):
        attributes["id"] = f"{name}-{identifier}"
    if (target := attributes.pop(_HREF, None)) is not None:
        attributes["href"] = f"#{name}-{target.removeprefix('#')}"
    if clip := attributes.get("clip-path"):
        attributes["clip-path"] = clip.replace("#", f"#{name}-")
    if element.tag == "path":
        attributes["d"] = " ".join(attributes.get("d", "").split())
    if style := attributes.pop("style", None):
        attributes["class"] = styles.name(_declarations(style))


def _declarations(style: str) -> str:
    """``style`` with colours as variables and without fonts, which the page chooses."""
    kept = []
    for declaration in style.split(";"):
        key, _, value = declaration.partition(":")
        if key.strip() == "font-family":
            continue
        kept.append(f"{key.strip()}:{re.sub('#[0-9a-f]{6}', _variable, value.strip())}")
    return ";".join(kept)


def _variable(match: re.Match[str]) -> str:
    role = _ROLES.get(match[0])
    if role is None:
        raise ValueError(f"a plot uses the colour {match[0]}, which has no role in reports/palette.py")
    return f"var(--{role})"


def _serialise(root: ElementTree.Element) -> str:
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
