"""The reader of answers: packed data, each text once, inert whatever models and judges wrote."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from judged_run import build_judged

from reports.duels import chunk, duels, index
from reports.html import write_report
from reports.reader import CHUNK, pack, unpack
from reports.words import Words
from results.duels import duels as judged
from results.store import Run

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><b>굵게</b> \u2028 {{ 7*7 }} `</style>` [[A]] \udcff"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def games(method: str, language: str, question: int) -> np.ndarray:
    return np.full((2, 2), (0.0, 0.5, 1.0)[question % 3])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    build_judged(folder, games, questions=30, say=lambda *_: HOSTILE.replace("\udcff", ""), reason=HOSTILE[:-1])
    write_report(folder, notice=lambda notice: None)
    return folder


def test_index_and_chunks_hold_every_pair_and_each_text_once(hostile: Path) -> None:
    run = Run.open(hostile)
    found = judged(run)
    section = duels(run, Words("ko"))
    assert section
    assert section.reader
    told = unpack(section.reader.index)
    assert len(told["rows"]) == len(found) == 60
    assert len(section.reader.chunks) == -(-60 // CHUNK)
    filters = {one["name"]: one["values"] for one in told["filters"]}
    assert filters["language"] == ["en English", "ko 한국어"]
    assert filters["outcome"] == ["패", "무승부", "승"]
    assert filters["category"][:2] == ["글쓰기", "역할극"]
    part = unpack(section.reader.chunks[0])
    assert len(part["entries"]) == CHUNK
    assert len(set(part["texts"])) == len(part["texts"])
    one = part["entries"][2]
    assert part["texts"][one["asked"][0]] == "Ask 2 en?"
    assert part["texts"][one["ours"][1]] == HOSTILE[:-1]
    assert one["games"][0][:4] == [1, 1, 1, 1.0]
    assert part["texts"][one["games"][0][4]].endswith("rtn-en-2-0-0")


def test_the_same_pairs_give_the_same_bytes(hostile: Path) -> None:
    assert duels(Run.open(hostile), Words("en")) == duels(Run.open(hostile), Words("en"))
    assert duels(Run.open(hostile), Words("en")) != duels(Run.open(hostile), Words("ko"))


def test_a_lone_surrogate_does_not_break_the_page(hostile: Path) -> None:
    found = judged(Run.open(hostile))[:1]
    key = found[0].games[0].request
    assert "?" in unpack(pack(chunk(found, {key: "\udcff"})))["texts"]
    assert index(found, Words("en"))["chunk"] == CHUNK


def test_policy_allows_this_script_alone_and_no_text_stands_in_the_page(hostile: Path) -> None:
    page = (hostile / "report.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]+'", policy[1])
    assert "unsafe" not in policy[1]
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert [attributes for attributes, _ in scripts].count("") == 1
    assert all(re.fullmatch(r"[A-Za-z0-9+/=]+", of) for attributes, of in scripts if attributes)
    assert "onerror" not in page
    assert "innerHTML" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_in_a_browser_the_first_pair_is_read_and_hostile_text_stays_text(hostile: Path, tmp_path: Path) -> None:
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=5000",
    ]
    address = (hostile / "report.html").as_uri()
    done = subprocess.run(
        [str(CHROMIUM), *options, "--dump-dom", address], capture_output=True, timeout=120, check=True
    )
    dom = done.stdout.decode()
    reader = dom.split('id="duels-reader"')[1]
    assert "1 to 20 of 60 pairs (60 in all)" in reader
    assert reader.count("aria-pressed=") == 20
    assert html.escape(HOSTILE[:60], quote=False) in reader
    assert "<img" not in dom
    assert "owned" not in dom.split("</title>")[0]
