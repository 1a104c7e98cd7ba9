"""The section on speed: what a token costs by part, counted, and how fast it came where that was timed."""

from __future__ import annotations

import pandas as pd

from reports import tables
from reports.claimed import Sentence
from reports.gathered import Gathered
from reports.section import Section, View
from reports.shown import Table, estimate, megabytes, number, text, value
from reports.words import Words

TIMED = ("prefill_tokens_per_second", "decode_tokens_per_second", "peak_memory")
COUNTED = ("flops_per_token", "projection_flops", "attention_flops", "mlp_flops", "head_flops", "bytes_per_token")
SHAPE = ("batch", "prompt", "new_tokens")


def speed(found: Gathered, words: Words) -> Section | None:
    rows = speeds(found)
    if rows.empty:
        return None
    table = Table(
        "speed",
        "",
        rows,
        (
            text(words["variant"], "variant"),
            text(words["setting"], "setting"),
            estimate(words["prefill"], "prefill_tokens_per_second"),
            estimate(words["decode"], "decode_tokens_per_second"),
            value(words["peak_memory"], "peak_memory", megabytes),
            value(words["flops"], "flops_per_token", _millions),
            value(words["projection_flops"], "projection_share", _times),
            value(words["traffic"], "bytes_per_token", megabytes),
        ),
        words,
    )
    left_out = rows.dropna(subset=["not_timed"]).groupby("not_timed", sort=False)["variant"]
    said = [
        Sentence(words.say("not_timed", variants=", ".join(dict.fromkeys(names)), reason=reason))
        for reason, names in left_out
    ]
    return Section("speed", words["speed"], said, [words["speed_note"]], tables=[View(table, open=True)])


def speeds(found: Gathered) -> pd.DataFrame:
    """One row for each cell of the task, with its setting, why it was not timed, and the share of `none`'s operations
    in the attention's linears that it takes."""
    frame = tables.task_table(found.records, found.labels, "speed", (*TIMED, *COUNTED))
    if frame.empty:
        return frame
    cells = {record.cell.key: record for record in found.records if record.cell.task == "speed"}
    params = [cells[key].cell.params for key in frame["cell"]]
    whole = frame[frame["is_none"]].drop_duplicates("model").set_index("model")["projection_flops"]
    return frame.assign(
        setting=[", ".join(f"{name} {of[name]}" for name in SHAPE if name in of) for of in params],
        not_timed=pd.Series([_reason(cells[key].notes.get("not_timed")) for key in frame["cell"]], dtype=object),
        projection_share=frame["projection_flops"] / frame["model"].map(whole).astype(float),
    )


def _reason(note: str | None) -> str | None:
    return None if note is None else note.removeprefix("skipped: ")


def _millions(operations: float) -> str:
    return number(operations / 1e6, 1)


def _times(share: float) -> str:
    return f"{number(share, 2)}×"
