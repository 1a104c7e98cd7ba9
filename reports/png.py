"""Which installed fonts a PNG needs: without one that has the glyphs, a picture would show boxes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

CANDIDATE = re.compile(
    r"noto ?sans|noto ?serif ?cjk|nanum|malgun|apple ?sd|source ?han|hiragino|yu ?gothic|ms ?gothic|simhei|"
    r"microsoft ?yahei|pingfang|unifont|dejavu|un ?dotum|baekmuk|ipa|takao|wqy|freesans",
    re.IGNORECASE,
)
"""Families that cover scripts DejaVu Sans lacks; the first of them in this order of names that helps is taken."""


def fonts_for(text: str) -> tuple[list[str], str]:
    """(Families to put behind DejaVu Sans for ``text``, the characters that no installed font has)."""
    missing = {c for c in text if not c.isspace()} - _glyphs(font_manager.findfont("DejaVu Sans"))
    families: list[str] = []
    for name, path in _installed() if missing else ():
        if missing & _glyphs(path):
            missing -= _glyphs(path)
            families.append(name)
        if not missing:
            break
    return families, "".join(sorted(missing))


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    """(Family, file) of every font that may help; newly installed ones too, which matplotlib's own cache lacks."""
    listed = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - listed):
        if CANDIDATE.search(Path(path).stem.replace("-", " ")):
            try:
                font_manager.fontManager.addfont(path)
            except (OSError, RuntimeError):
                continue  # a font file matplotlib cannot read helps nobody
    found = {
        (entry.name, entry.fname)
        for entry in font_manager.fontManager.ttflist
        if CANDIDATE.search(entry.name) and entry.style == "normal" and entry.weight in (400, "normal", "regular")
    }
    return tuple(sorted(found, key=lambda font: ("CJK" not in font[0], "Sans" not in font[0], font)))


@cache
def _glyphs(path: str) -> frozenset[str]:
    return frozenset(map(chr, FT2Font(path).get_charmap()))
