"""The section on judges: what each was shown to be worth, language by language."""

from __future__ import annotations

import pandas as pd

from reports.claimed import bounds
from reports.gathered import Gathered
from reports.section import Section, View
from reports.shown import Column, Table, language, number, share, text, value
from reports.wins import judge_sentence
from reports.words import Words

SHARES = ("consistency", "first_slot_share", "ties", "aa_ties", "with_people")


def judges(found: Gathered, words: Words) -> Section | None:
    cards = found.claims.judges
    if not cards:
        return None
    rows = [
        {
            "judge": card.judge,
            "model": card.model,
            "prompts": card.prompts,
            "language": card.language,
            "questions": card.questions,
            "between_jurors": card.between_jurors,
            "verdict": "weak" if card.weaknesses else "open" if card.open else "sound",
            **{name: at for share_of in SHARES for name, at in bounds(share_of, getattr(card, share_of)).items()},
        }
        for card in cards
    ]
    numbers = [f"{name}{end}" for name in SHARES for end in ("", "_low", "_high")]
    names = ["judge", "model", "prompts", "language", "questions", "between_jurors", "verdict", *numbers]
    frame = pd.DataFrame(rows, columns=names).astype(dict.fromkeys([*numbers, "between_jurors"], float))
    several = frame["prompts"].nunique() > 1
    table = Table(
        "judges",
        "",
        frame,
        (
            text(words["judge"], "model"),
            text(words["judge_kind"], "judge"),
            *([text(words["prompts"], "prompts")] if several else []),
            language(words["language"]),
            value(words["questions"], "questions", lambda count: number(count, 0)),
            *(share(words[f"card_{name}"], name) for name in SHARES),
            *(
                [value(words["card_between_jurors"], "between_jurors", lambda share: f"{share:.0%}")]
                if frame["between_jurors"].notna().any()
                else []
            ),
            Column(words["verdict"], lambda row, _: words[f"judge_{row.verdict}"], False),
        ),
        words,
    )
    said = [judge_sentence(card, words) for card in cards]
    return Section("judges", words["judges"], said, [words["judges_note"]], tables=[View(table, open=True)])
