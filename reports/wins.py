"""The section on win rates: how turns came out, the rate with its interval and noise floor, and what it can show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from reports.claimed import Sentence, bounds
from reports.gathered import Gathered
from reports.palette import LIGHT, SHAPES, Mark
from reports.plots import INK, MUTED, PAGE, Panel, Plot
from reports.section import Section, View, p_value
from reports.shown import Column, Show, Table, is_missing, language, number, share, text, value
from reports.words import TEXT, Words, tagged_name
from results.claim import Claims
from results.estimate import Estimate
from results.judged import WinRate
from results.judged_parts import Part
from results.judged_sentences import chosen, points, power
from results.power import usual_winrate_power
from results.reliability import TASK, Card

RATES = ("rate", "conservative", "length_controlled", "gated")
PARTS = {"win": "c1", "tie": "g2", "split": "g3", "loss": "c2", "unread": "c5"}
"""How turns come out, and their colours, from left to right."""
RATE = Mark("ink", *SHAPES[3])


def wins(found: Gathered, words: Words) -> Section | None:
    rows = win_rates(found)
    if rows.empty:
        return None
    judged = rows[rows["status"] == "ok"]
    drawn = [(words[f"duel_{part}"], role) for part, role in PARTS.items() if judged[part].fillna(0).gt(0).any()]
    legend: list[tuple[str, Mark | str]] = [*drawn, (words.say("rate_mark", level=found.level), RATE)]
    plot = Plot("wins", words["wins"], win_panels(judged, words), legend) if len(judged) else None
    rates = found.claims.win_rates
    said = [Sentence(_say(one, words), KINDS.get(one.outcome, "")) for one in rates]
    who = [told.sentence_ko if words.language == "ko" else told.sentence_en for told in chosen(rates)]
    notes = [words["wins_note"], *who, *_powers(rates, words), *_missing(rates, words)]
    table = Table("wins", "", rows, columns(rows, words), words)
    parts = win_parts(found, words)
    explored = Table("win_parts", words["win_parts"], parts, part_columns(parts, words), words)
    return Section(
        "wins",
        words["wins"],
        paragraphs=notes,
        plot=plot,
        tables=[View(table, open=True), *([] if parts.empty else [View(explored)])],
        folded=said,
        folded_title=words["all_wins"],
    )


KINDS = {"win": "established", "loss": "established"}


def verdicts(claims: Claims, words: Words) -> list[Sentence]:
    """For each variant, opponent and judge the language that wins least; then the judges shown to be weak, or open."""
    least: dict[tuple[str, str, str], WinRate] = {}
    for one in claims.win_rates:
        key = (one.variant.key, one.against, one.setting)
        if not one.aa and (key not in least or one.rate.value < least[key].rate.value):
            least[key] = one
    said = [
        Sentence(f"{words['least_wins']}: {_say(one, words)}", KINDS.get(one.outcome, "")) for one in least.values()
    ]
    return said + _doubts(claims.judges, words) if least else []


def _doubts(cards: Sequence[Card], words: Words) -> list[Sentence]:
    """One sentence for each judge on where it is weak, and one on where that is open."""
    found: dict[tuple[str, str], list[str]] = {}
    for card in cards:
        if card.weaknesses or card.open:
            found.setdefault(("weak" if card.weaknesses else "open", card.model), []).append(card.language)
    return [
        Sentence(
            words.say(f"{kind}_judges", judge=judge, languages=", ".join(dict.fromkeys(languages))),
            "failed" if kind == "weak" else "depends",
        )
        for (kind, judge), languages in found.items()
    ]


def judge_sentence(card: Card, words: Words) -> Sentence:
    told = card.sentence_ko if words.language == "ko" else card.sentence
    return Sentence(f"{words['the_judge']}: {told}", "failed" if card.weaknesses else "depends" if card.open else "")


def win_rates(found: Gathered) -> pd.DataFrame:
    """One row for each pairwise cell: rates with bounds, shares of turns, gap over English; or status and reason."""
    rows: list[dict[str, Any]] = []
    for one in found.claims.win_rates:
        row = {
            "variant": one.label,
            "against": one.against,
            "judge": one.judge,
            "setting": one.setting,
            "language": one.language,
            "status": "ok",
            "aa": one.aa,
            "again": one.again,
            "questions": one.questions,
            **one.shares._asdict(),
            "p_adjusted": None if one.aa else one.p_adjusted,
            "outcome": None if one.aa else one.outcome,
            "p_gap_adjusted": one.p_gap_adjusted if one.gap else None,
            "comparable": one.comparable if one.gap else None,
            "gap_established": one.gap_established if one.gap else None,
            "band": one.floor.band if one.floor else None,
        }
        named = {name: getattr(one, name) for name in (*RATES, "gap")}
        rows.append(row | {name: at for rate, of in named.items() for name, at in bounds(rate, of).items()})
    for record in found.records:
        if record.cell.task == TASK and record.status != "ok":
            cell = record.cell
            who = {"variant": found.labels[cell.variant.key], "against": record.notes.get("opponent")}
            why = {"status": record.status, "reason": record.reason, "judge": record.notes.get("judge"), "setting": ""}
            rows.append({**who, **why, "language": cell.language, "aa": False, "again": False})
    texts = ["variant", "against", "judge", "setting", "language", "status", "reason", "aa", "again"]
    texts += ["questions", "outcome"]
    numbers = [name + end for name in (*RATES, "gap") for end in ("", "_low", "_high")]
    numbers += [*PARTS, "p_adjusted", "p_gap_adjusted", "band"]
    frame = pd.DataFrame(rows, columns=[*texts, *numbers, "comparable", "gap_established"])
    return frame.astype(dict.fromkeys(numbers, float))


def win_parts(found: Gathered, words: Words) -> pd.DataFrame:
    """One row for each category and turn of each win rate."""
    rows = [
        {
            "variant": one.label,
            "against": one.against,
            "judge": one.judge,
            "setting": one.setting,
            "language": one.language,
            "kind": part.kind,
            "part": part.name,
            "shown": _part(part, words),
            "questions": part.questions,
            **bounds("rate", part.rate),
            "p": part.p,
            "p_adjusted": part.p_adjusted,
        }
        for one in found.claims.win_rates
        for part in one.parts
    ]
    return pd.DataFrame(rows)


def part_columns(rows: pd.DataFrame, words: Words) -> tuple[Column, ...]:
    if rows.empty:
        return ()
    several = [name for name in ("against", "judge") if rows[name].nunique() > 1]
    return (
        text(words["variant"], "variant"),
        *(text(words[name], name) for name in several),
        language(words["language"]),
        text(words["part"], "shown"),
        value(words["questions"], "questions", lambda count: number(count, 0)),
        share(words["win_rate"], "rate"),
        Column(words["p_explored"], lambda row, _: p_value(row.p_adjusted)),
    )


def _part(part: Part, words: Words) -> str:
    if part.kind == "turn":
        return words.say("duel_reader_turn", number=part.name)
    name = f"category_{part.name}"
    return words[name] if name in TEXT else part.name


def columns(rows: pd.DataFrame, words: Words) -> tuple[Column, ...]:
    """Opponents and judges only where there are several; rates as percent, the gap as points."""
    several = [name for name in ("against", "judge") if rows[name].nunique() > 1]
    with_gap = rows["gap"].notna().any()
    return (
        Column(words["variant"], lambda row, _: row.variant + _aa(row, words), False),
        *(text(words[name], name) for name in several),
        language(words["language"]),
        value(words["questions"], "questions", lambda count: number(count, 0)),
        *(share(words[f"win_{name}"], name) for name in RATES),
        Column(words["p_adjusted"], lambda row, _: "–" if is_missing(row.p_adjusted) else p_value(row.p_adjusted)),
        Column(words["outcome"], _outcome(words), False),
        *((Column(words["win_gap"], _gap), Column(words["verdict"], _gap_verdict(words), False)) if with_gap else ()),
    )


def win_panels(frame: pd.DataFrame, words: Words) -> list[Panel]:
    """One panel a language and setting, one bar a variant, A/A first: shares of turns, and the rate over them."""
    panels = []
    for (code, setting), rows in frame.groupby(["language", "setting"], sort=False):
        ordered = rows.sort_values("aa", ascending=False, kind="stable")

        def draw(ax: Axes, rows: pd.DataFrame = ordered) -> None:
            bars: list[Any] = list(rows.itertuples())
            ax.axvline(50, color=INK, lw=0.9, zorder=3)
            bands = rows["band"].dropna()
            if len(bands) and bands.max() > 0:
                ax.axvspan(50 - 100 * bands.max(), 50 + 100 * bands.max(), color=MUTED, alpha=0.3, lw=0, zorder=2.5)
            for place, row in enumerate(bars):
                left = 0.0
                for part, role in PARTS.items():
                    width = 100 * getattr(row, part)
                    ax.barh(place, width, left=left, height=0.42, color=LIGHT[role], edgecolor=PAGE, linewidth=0.6)
                    left += width
                name = f"{row.variant} × {row.against}" + _aa(row, words)
                ax.text(0, place - 0.27, name, va="bottom", fontsize=8)
                if not is_missing(row.rate_low):
                    ends = [100 * min(1, max(0, end)) for end in (row.rate_low, row.rate_high)]
                    ax.plot(ends, (place, place), color=PAGE, lw=3.4, zorder=4)
                    ax.plot(ends, (place, place), color=INK, lw=1.4, zorder=5)
                ax.plot([100 * row.rate], [place], ls="none", marker=RATE.shape, ms=6, color=INK, mec=PAGE, zorder=6)
            ax.set_ylim(len(bars) - 0.6, -0.75)
            ax.set_xlim(0, 100)
            ax.set_yticks([])
            ax.spines["left"].set_visible(False)
            ax.grid(visible=False, axis="y")
            ax.xaxis.set_major_locator(MultipleLocator(25))
            ax.set_xlabel(words["percent_of_turns"])

        title = tagged_name(str(code)) + (f" ({setting})" if setting else "")
        panels.append(Panel(title, draw, height=0.8 + 0.46 * max(2, len(ordered)), left=0.14))
    return panels


def _aa(row: Any, words: Words) -> str:
    return f" (A/A, {words['answered_again']})" if row.again else " (A/A)" if row.aa else ""


def _powers(rates: Sequence[WinRate], words: Words) -> list[str]:
    """What each size of question set can show, with as many languages at once as were judged."""
    met = [one for one in rates if not one.aa]
    languages = len({one.language for one in met})
    sizes = dict.fromkeys((one.questions, one.turns) for one in met)
    said = []
    for questions, turns in sizes:
        if questions < 2:
            said.append(words["one_question"])
            continue
        told = power(*usual_winrate_power(questions, turns, family=languages), turns)
        said.append(told.sentence_ko if words.language == "ko" else told.sentence_en)
    return said


def _missing(rates: Iterable[WinRate], words: Words) -> list[str]:
    """Why a rate stands nowhere, each reason once; and why a floor does not, or is 0."""
    met = [one for one in rates if not one.aa]
    why = {
        "length_control": [one.notes.get("length_control") for one in met if one.length_controlled is None],
        "language_gate": [one.notes.get("language_gate") for one in met if one.gated is None],
    }
    said = [
        words.say(f"no_{name}", reason=reason) for name, of in why.items() for reason in dict.fromkeys(of) if reason
    ]
    if any(one.floor is None for one in met):
        said.append(words["no_aa"])
    if any(one.floor is not None and one.floor.band == 0 for one in met):
        said.append(words["aa_even"])
    return said


def _outcome(words: Words) -> Show:
    return lambda row, _: "–" if is_missing(row.outcome) else words[f"duel_is_{row.outcome}"]


def _gap(row: Any, _: str) -> str:
    if is_missing(row.gap):
        return "–"
    return points(Estimate(row.gap) if is_missing(row.gap_low) else Estimate(row.gap, row.gap_low, row.gap_high), "")


def _gap_verdict(words: Words) -> Show:
    def show(row: Any, _: str) -> str:
        if is_missing(row.gap):
            return "–"
        if row.comparable == "no":
            return words["not_comparable"]
        return words["gap_established" if row.gap_established else "not established"]

    return show


def _say(one: WinRate, words: Words) -> str:
    return one.sentence_ko if words.language == "ko" else one.sentence_en
