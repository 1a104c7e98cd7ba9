"""The page of a run that is not finished: report.html alone, with a line that says so."""

from __future__ import annotations

from pathlib import Path

from reports.gathered import gather
from reports.html import render
from reports.page import page
from reports.words import Words
from results.claims import make_claims
from results.files import replace
from results.store import Run


def write_running(run_folder: str | Path, done: int, total: int, lang: str = "en") -> Path:
    """Write report.html of what there is when ``done`` of ``total`` variants are finished; return it.

    Neither the files that a finished page links to are written nor the links; the reader of judged answers is left out.
    """
    words = Words(lang)
    run = Run.open(run_folder)
    found = gather(run, make_claims(run), words)
    when = max((record.created or "" for record in found.records), default="")
    running = words.say("running", done=done, total=total, when=when[:16].replace("T", " "))
    path = Path(run_folder) / "report.html"
    replace(path, render(page(found, words), words, running).encode())
    return path
