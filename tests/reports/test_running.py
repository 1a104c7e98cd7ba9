"""The page of a run that goes on says so, links to no file that is not there, and is replaced by the finished one."""

from __future__ import annotations

import shutil
from pathlib import Path

from reports.html import render
from reports.page import Page
from reports.running import write_running
from reports.section import Section
from reports.words import Words
from results.store import Run


def test_a_running_page_says_how_far_it_is_and_links_to_no_file(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    before = sorted(folder.rglob("*"))
    page = write_running(folder, 3, 7, "ko").read_text(encoding="utf-8")
    assert '<html lang="ko">' in page
    assert '<meta name="records"' not in page
    assert "실행 중: 변형 7개 중 3개를 마쳤습니다." in page
    assert 'href="tables/' not in page
    assert "http-equiv=refresh" not in page.replace('"', "")
    assert sorted(folder.rglob("*")) == sorted({*before, folder / "report.html"})


def test_a_finished_page_says_nothing_of_it() -> None:
    html = render(Page(["m"], [], [Section("verdict", "Verdict", first=True)], "95%"), Words("en"))
    assert 'class="running"' not in html


def test_a_run_with_one_record_has_a_page(run_folder: Path, tmp_path: Path) -> None:
    """A sweep that has just begun: `none` has a size and nothing else."""
    with Run.open(tmp_path, write=True) as run:
        run.append(Run.open(run_folder).records()[0])
    assert "1 of 7 variants are finished" in write_running(tmp_path, 1, 7).read_text(encoding="utf-8")
