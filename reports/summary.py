"""The one table that says it all: a row a variant. The same on the page, in the terminal and in summary.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reports.claimed import first_setting
from reports.shown import Column, Table, is_missing, megabytes, number, plus_minus, text, value
from reports.words import Words, own_name

LANGUAGES_A_TABLE = 8
"""As many languages as fit beside the rest in 120 columns."""


def summary(
    variant: pd.DataFrame,
    footprint: pd.DataFrame,
    change: pd.DataFrame,
    fidelity: pd.DataFrame,
    failed: pd.DataFrame,
    worst: Mapping[str, str],
) -> pd.DataFrame:
    """Columns key, variant, is_none, status, total_bytes, bits_per_weight, worst, kld, kld_language, and for each
    language ``<code>``, ``<code>_low``, ``<code>_high``: extra bits per sentence.

    ``kld`` is the mean KLD of the language where it is largest: picked, not averaged. ``variant`` has the columns key,
    variant, is_none, in the order of the run; ``status`` is that of its failures, where nothing was measured.
    """
    frame = variant.reset_index(drop=True)
    sizes = footprint.drop_duplicates("key").set_index("key")
    for name in ("total_bytes", "bits_per_weight"):
        frame[name] = frame["key"].map(sizes[name])
    frame["worst"] = frame["variant"].map(dict(worst))
    known = fidelity.dropna(subset=["kld_mean"])
    largest = known.loc[known.groupby("key", sort=False)["kld_mean"].idxmax()].set_index("key")
    frame["kld"] = frame["key"].map(largest["kld_mean"])
    frame["kld_language"] = frame["key"].map(largest["language"])
    for language, rows in first_setting(change).groupby("language", sort=False):
        found = rows.drop_duplicates("variant").set_index("variant")
        for end in ("", "_low", "_high"):
            frame[f"{language}{end}"] = frame["variant"].map(found[f"extra_bits{end}"])
    states = failed.drop_duplicates("variant").set_index("variant")["status"]
    frame["status"] = frame["variant"].map(states).where(frame["total_bytes"].isna(), "ok").fillna("ok")
    return frame


def languages_of(frame: pd.DataFrame) -> list[str]:
    return [name.removesuffix("_low") for name in frame.columns if name.endswith("_low")]


def tables(frame: pd.DataFrame, words: Words, short: bool = False) -> list[Table]:
    """The summary as tables of at most eight languages each; ``short`` heads the columns with codes, for terminals."""
    languages = languages_of(frame)
    starts = range(0, len(languages), LANGUAGES_A_TABLE) if languages else [0]
    return [
        Table("summary", words["summary"], frame, _columns(languages[i : i + LANGUAGES_A_TABLE], words, short), words)
        for i in starts
    ]


def _columns(languages: Sequence[str], words: Words, short: bool) -> tuple[Column, ...]:
    return (
        text(words["variant"], "variant"),
        value("MB" if short else words["megabytes"], "total_bytes", megabytes),
        bits_per_weight(words["bits_per_weight_short" if short else "bits_per_weight"]),
        *(_language(code, words, short) for code in languages),
        text(words["worst"], "worst"),
        _kld(words, short),
    )


def bits_per_weight(header: str) -> Column:
    """Bits per compressed weight; a dash for `none`, which has no compressed weight."""

    def show(row: Any, missing: str) -> str:
        if is_missing(row.bits_per_weight):
            return "–" if row.is_none else missing
        return number(row.bits_per_weight, 2)

    return Column(header, show, metric="bits_per_weight")


def _language(code: str, words: Words, short: bool) -> Column:
    def show(row: Any, missing: str) -> str:
        if row.is_none:
            return words["base"]
        value, low, high = (getattr(row, f"{code}{end}") for end in ("", "_low", "_high"))
        return plus_minus(value, low, high, missing, short)

    return Column(code if short else own_name(code), show, metric="extra_bits")


def _kld(words: Words, short: bool) -> Column:
    def show(row: Any, missing: str) -> str:
        if row.is_none:
            return words["base"]
        return missing if is_missing(row.kld) else f"{number(row.kld)} {row.kld_language}"

    return Column("KLD" if short else words["worst_kld"], show, metric="kld_mean")
