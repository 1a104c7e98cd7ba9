"""The page: safe, self-contained, complete, the same each time."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from reports.html import write_report
from reports.plots import Panel, Plot
from results.files import file_digest

VOID = {"meta", "br", "link", "img", "hr"}


class Checker(HTMLParser):
    """Balanced tags, unique ids, and what the page holds."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._seen(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._seen(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _seen(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids.append(value or "")


@pytest.fixture(scope="module")
def page(run_folder: Path) -> str:
    return write_report(run_folder, notice=lambda notice: None).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


def test_ids_are_unique_and_links_inside_lead_somewhere(checked: Checker) -> None:
    assert len(set(checked.ids)) == len(checked.ids)
    targets = {value[1:] for _, name, value in checked.attributes if name == "href" and value.startswith("#")}
    clips = {value[5:-1] for _, name, value in checked.attributes if name == "clip-path"}
    assert targets
    assert targets | clips <= set(checked.ids)


def test_nothing_comes_from_elsewhere(page: str, checked: Checker) -> None:
    assert re.findall(r"https?://[^\s\"'<]+", page) == []
    assert "//" not in page.replace("https://", "").split("<body>")[0].split("</style>")[1]
    assert not checked.tags & {"script", "link", "img", "iframe", "object", "foreignobject"}
    assert not [a for a in checked.attributes if a[1] == "style" or a[1].startswith("on")]


def test_policy_allows_this_style_sheet_alone(page: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    sheet = page.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy[1]
    assert page.count("<style") == 1


def test_every_class_of_a_plot_has_a_rule(page: str, checked: Checker) -> None:
    used = {value for _, name, value in checked.attributes if name == "class" and re.fullmatch(r"p\d+", value)}
    assert used
    assert all(f".{name}{{" in page for name in used)


def test_every_plot_has_its_table_and_csv(page: str, run_folder: Path) -> None:
    figures = re.findall(r'<section id="([^"]+)"(?:(?!</section>).)*?<figure>.*?</section>', page, re.DOTALL)
    assert {"perplexity-by-size", "changes", "gaps", "points", "sizes"} <= set(figures)
    for section in re.findall(r"<section.*?</section>", page, re.DOTALL):
        if "<figure>" not in section:
            continue
        csv = re.search(r'href="(tables/[^"]+\.csv)"', section.split("</figure>")[1])
        assert csv
        assert "<table>" in section.split("</figure>")[1]
        assert len(pd.read_csv(run_folder / csv[1]))
        plot = re.search(r'href="(plots/[^"]+\.svg)"', section)
        assert plot
        assert (run_folder / plot[1]).is_file()


def test_text_of_plots_is_text(page: str, run_folder: Path) -> None:
    assert re.search(r"<text[^>]*>ko 한국어", page)
    drawn = (run_folder / "plots" / "changes.svg").read_text(encoding="utf-8")
    assert "ja 日本語" in drawn
    assert "prefers-color-scheme:dark" in drawn
    assert re.findall(r"https?://[^\s\"'<]+", drawn) == ["http://www.w3.org/2000/svg"]


def test_no_colour_escapes_the_scheme(page: str) -> None:
    body = page.split("<body>")[1]
    assert not re.search(r"#[0-9a-f]{6}\b", body)
    rules = page.split("<style>")[1].split("</style>")[0]
    assert not re.search(r"\.p\d+\{[^}]*#[0-9a-f]", rules)


def test_failures_are_shown_with_status_and_reason(page: str, run_folder: Path) -> None:
    failures = page.split('id="failures"')[1].split("</section>")[0]
    assert "ref_bitsandbytes nf4" in failures
    assert "failed" in failures
    assert "skipped" in failures
    assert "bitsandbytes is missing" in failures
    summary = page.split('id="verdict"')[1].split("</section>")[0]
    row = next(row for row in re.findall(r"<tr>.*?</tr>", summary) if "ref_bitsandbytes" in row)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row)[1:]
    assert set(cells) <= {"failed", "skipped", "–"}
    assert "skipped" in cells
    kept = pd.read_csv(run_folder / "tables" / "summary.csv").set_index("variant").loc["ref_bitsandbytes nf4"]
    assert pd.isna(kept["total_bytes"])
    assert pd.isna(kept["ko"])


def test_untouched_share_is_said(page: str) -> None:
    assert "62.7%" in page.split('id="sizes"')[1].split("</section>")[0]


def test_hostile_words_are_escaped(tmp_path: Path, build: Callable[..., Path]) -> None:
    model = "<script>alert('m')</script>/$x$ & \x1b\"onload=\"=cmd|' `</style>`"
    run = build(tmp_path / "run", languages=("en", "ko"), model=model)
    page = write_report(run, notice=lambda notice: None).read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    assert "script" not in checker.tags
    assert "&lt;script&gt;alert(&#39;m&#39;)&lt;/script&gt;" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page
    assert page.count("</style>") == 1
    assert not [a for a in checker.attributes if a[1].startswith("on")]


def test_spreadsheets_run_nothing(tmp_path: Path, build: Callable[..., Path]) -> None:
    run = build(tmp_path / "run", languages=("en", "ko"), model="=1+1")
    write_report(run, notice=lambda notice: None)
    assert set(pd.read_csv(run / "tables" / "variants.csv")["model"]) == {"'=1+1"}


def test_same_records_same_bytes(run_folder: Path, tmp_path: Path) -> None:
    def written(folder: Path) -> dict[str, bytes]:
        write_report(folder, notice=lambda notice: None)
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in (".html", ".svg", ".csv", ".md")
        }

    first = written(run_folder)
    shutil.copytree(run_folder, tmp_path / "elsewhere")
    assert written(tmp_path / "elsewhere") == first


def test_korean(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    page = write_report(folder, lang="ko", notice=lambda notice: None).read_text(encoding="utf-8")
    assert '<html lang="ko">' in page[:200]
    assert f'<meta name="records" content="{file_digest(folder / "records.jsonl")}">' in page[:200]
    assert "언어별 압축 손실 보고서" in page
    assert "한국어는 영어보다" in page
    assert "Table and CSV" not in page
    assert "건너뜀" in (folder / "summary.md").read_text(encoding="utf-8")


def test_run_without_gap_or_sizes(tmp_path: Path, build: Callable[..., Path]) -> None:
    """One language that is not English: no gap, no points, and the page says so."""
    run = build(tmp_path / "run", languages=("ko",))
    page = write_report(run, notice=lambda notice: None).read_text(encoding="utf-8")
    assert 'id="gaps"' not in page
    assert 'id="changes"' in page
    assert "There is no language gap" in page


def test_long_titles_are_wrapped() -> None:
    title = "a variant with a very long name (corpus=wikitext2 protocol=gptq)"
    figure = Plot("long", "", [Panel(title, lambda ax: None)]).figure
    assert figure.axes[0].get_title(loc="left").count("\n") == 1
    figure.draw_without_rendering()
    assert figure.axes[0].get_tightbbox().y1 <= figure.bbox.y1  # type: ignore[union-attr]
