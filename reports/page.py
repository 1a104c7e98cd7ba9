"""The whole page: which sections, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports import findings, measured
from reports.answered import answered
from reports.cards import cards
from reports.equal_bytes import equal_bytes
from reports.gate_section import gate
from reports.gathered import Gathered
from reports.judges import judges
from reports.neurons import neurons
from reports.parity import parity
from reports.section import Section
from reports.speed import speed
from reports.wins import wins
from reports.words import Words, tagged_name


@dataclass(frozen=True)
class Page:
    models: Sequence[str]
    lead: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    level: str
    """The confidence level of its intervals, such as ``95%``."""


def page(found: Gathered, words: Words, duels: Section | None = None, flips: Section | None = None) -> Page:
    """``duels``, ``flips``: the readers of answers, which only a finished page has room for."""
    models = list(dict.fromkeys(record.cell.variant.model for record in found.records))
    languages = list(dict.fromkeys(r.cell.language for r in found.records if r.cell.language != "und"))
    lead = [
        (words["lead_models"], ", ".join(models)),
        (words["lead_variants"], str(len(found.variants))),
        (words["lead_languages"], ", ".join(tagged_name(code) for code in languages)),
    ]
    sections = [
        findings.verdict(found, words),
        gate(found, words),
        *findings.by_size(found, words),
        findings.changes(found, words),
        findings.gaps(found, words),
        findings.points(found, words),
        findings.comparisons(found, words),
        equal_bytes(found, words),
        findings.answers(found, words),
        flips,
        wins(found, words),
        judges(found, words),
        answered(found, words),
        duels,
        cards(found, words),
        measured.sizes(found, words),
        neurons(found, words),
        speed(found, words),
        parity(found, words),
        measured.fidelity(found, words),
        measured.noise(found, words),
        measured.measurements(found, words),
        findings.not_established(found, words),
        measured.failures(found, words),
        measured.provenance(found, words),
        Section("statistics", words["statistics"], paragraphs=[words[f"statistics_{i}"] for i in (1, 2, 3)]),
    ]
    return Page(models, lead, explained([section for section in sections if section is not None], words), found.level)


def explained(sections: Sequence[Section], words: Words) -> list[Section]:
    """Each section with a line for every metric that stands in its tables and in none before it."""
    known: set[str] = set()
    made = []
    for section in sections:
        terms = []
        for column in (column for view in section.tables for column in view.table.columns):
            meaning = "" if column.metric in known else words.meaning(column.metric)
            if meaning:
                known.add(column.metric)
                terms.append((words.get(column.metric, column.header), meaning))
        made.append(replace(section, terms=terms))
    return made
