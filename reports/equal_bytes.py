"""The section that sets sparse and low-rank variants beside dense ones of nearly equal bytes."""

from __future__ import annotations

import pandas as pd

from reports.claimed import Sentence, bounds
from reports.gathered import Gathered
from reports.section import Section, View, p_value
from reports.shown import Column, Table, estimate, language, megabytes, text, value
from reports.words import Words
from results.claim import Claims

ENDS = ("difference", "difference_low", "difference_high")
COLUMNS = (
    *("a", "b", "bytes", "beside_bytes", "relation", "language", "setting", "draws"),
    *("p_adjusted", "outcome", *ENDS),
)


def equal_bytes(found: Gathered, words: Words) -> Section | None:
    rows = set_beside(found.claims)
    if rows.empty:
        return None
    table = Table(
        "equal-bytes",
        "",
        rows,
        (
            text(words["equal_bytes_method"], "a"),
            value(words["megabytes"], "bytes", megabytes),
            text(words["equal_bytes_beside"], "b"),
            value(words["megabytes"], "beside_bytes", megabytes),
            Column(words["equal_bytes_relation"], lambda row, _: words[f"equal_bytes_{row.relation}"], False),
            language(words["language"]),
            estimate(words["difference"], "difference", signed=True),
            value(words["p_adjusted"], "p_adjusted", p_value),
            Column(words["outcome"], lambda row, _: words[row.outcome], False),
        ),
        words,
    )
    said = [
        Sentence(one.sentence_ko if words.language == "ko" else one.sentence_en) for one in found.claims.equal_bytes
    ]
    note = words.say("equal_bytes_note", level=found.level)
    return Section("equal-bytes", words["equal_bytes"], said, [note], tables=[View(table)])


def set_beside(claims: Claims) -> pd.DataFrame:
    """One row for each sparse or low-rank method, dense one beside it, and language; a negative difference: the sparse
    or low-rank one is better."""
    rows = [
        {
            "a": one.label,
            "b": one.beside,
            "bytes": one.bytes,
            "beside_bytes": one.beside_bytes,
            "relation": one.relation,
            "language": of.language,
            "setting": one.setting,
            "draws": of.draws,
            "p_adjusted": of.p_adjusted,
            "outcome": of.verdict,
            **bounds("difference", of.difference),
        }
        for one in claims.equal_bytes
        for of in one.comparisons
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(ENDS, float))
