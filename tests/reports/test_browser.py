"""The page in a real browser: reachable by everybody, complaining of nothing, asking nobody for anything.

axe-core is not among our dependencies. Name its file to have the pages checked by it, and a folder to see them:

    npm pack axe-core && tar xf axe-core-*.tgz
    LANGGAP_AXE=package/axe.min.js LANGGAP_SCREENSHOTS=shots pytest tests/reports/test_browser.py
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import chrome
import pytest
from rich_run import HOSTILE, build_rich

from reports.duels import duels
from reports.flips import flips
from reports.gathered import gather
from reports.html import render
from reports.page import page
from reports.words import LANGUAGES, Words
from results.claims import make_claims
from results.store import Run

pytestmark = pytest.mark.skipif(chrome.CHROMIUM is None, reason="no Chromium is installed")
AXE = os.environ.get("LANGGAP_AXE", "")
SHOTS = os.environ.get("LANGGAP_SCREENSHOTS", "")
LOOKS = [("en", 1280, False), ("en", 380, True), ("ko", 1280, True), ("ko", 380, False)]
"""Language, width, dark: each width in each scheme, and in each language."""
RULES = "{resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}"
OPEN_ALL = "document.querySelectorAll('details').forEach(one => { one.open = true; })"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, build: Callable[..., Path]) -> dict[str, Path]:
    folder = build_rich(tmp_path_factory.mktemp("rich"), build)
    run = Run.open(folder)
    claims = make_claims(run)
    first, *others = claims.answers
    claims = replace(claims, answers=(replace(first, task=HOSTILE), *others))
    for lang in LANGUAGES:
        words = Words(lang)
        found = gather(run, claims, words)
        html = render(page(found, words, duels(run, words), flips(found, words)), words)
        (folder / f"{lang}.html").write_text(html, encoding="utf-8")
    return {lang: folder / f"{lang}.html" for lang in LANGUAGES}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chrome.Page]:
    with chrome.page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def tab(browser: chrome.Page) -> chrome.Page:
    browser.errors.clear()
    browser.asked.clear()
    return browser


@pytest.mark.parametrize(("lang", "width", "dark"), LOOKS)
def test_it_complains_of_nothing_asks_nobody_and_fits(
    tab: chrome.Page, pages: dict[str, Path], lang: str, width: int, dark: bool
) -> None:
    tab.open(pages[lang], width, dark)
    assert tab.errors == []
    assert tab.asked == [pages[lang].as_uri()]
    assert tab.run("document.querySelectorAll('#duels-reader .duel-list button').length") == 20
    assert tab.run("document.documentElement.scrollWidth") == width
    background = tab.run("getComputedStyle(document.documentElement).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is not dark
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        name = f"{lang}-{width}-{'dark' if dark else 'light'}"
        tab.shot(Path(SHOTS) / f"{name}-first.png", whole=False)
        tab.shot(Path(SHOTS) / f"{name}.png")


@pytest.mark.skipif(not Path(AXE).is_file(), reason="LANGGAP_AXE does not name axe.min.js of axe-core")
@pytest.mark.parametrize(("lang", "width", "dark"), LOOKS)
def test_axe_finds_nothing_serious(tab: chrome.Page, pages: dict[str, Path], lang: str, width: int, dark: bool) -> None:
    tab.open(pages[lang], width, dark)
    tab.run(OPEN_ALL)
    tab.run(Path(AXE).read_text(encoding="utf-8"))
    found = tab.run(
        f"axe.run(document, {RULES}).then(told => told.violations.map(one => "
        "[one.impact, one.id, one.nodes.length, one.nodes[0].html, one.nodes[0].failureSummary]))"
    )
    assert [one for one in found if one[0] in ("serious", "critical")] == []


def test_its_policy_lets_no_other_script_run_and_nothing_be_fetched(tab: chrome.Page, pages: dict[str, Path]) -> None:
    tab.open(pages["en"])
    ran = (
        "(() => { const made = document.createElement('script'); made.textContent = 'window.ran = true';"
        " document.body.append(made); return window.ran ?? false; })()"
    )
    assert tab.run(ran) is False
    assert tab.run("fetch('http://127.0.0.1:9/').then(() => 'fetched', () => 'refused')") == "refused"
    tab.run("null")  # what was said meanwhile is heard with the next answer
    assert sum("Content Security Policy" in error for error in tab.errors) >= 2


def test_hostile_words_are_read_as_words(tab: chrome.Page, pages: dict[str, Path]) -> None:
    tab.open(pages["en"])
    assert tab.run("document.querySelector('.reason').textContent").startswith(HOSTILE[:60])
    assert HOSTILE in tab.run("document.querySelector('#flips-reader h3').textContent")
    assert HOSTILE in tab.run("document.getElementById('flips-by-task').textContent")
    assert tab.run("[document.title.includes('owned'), document.images.length]") == [False, 0]


def test_flipped_answers_are_chosen_by_language_and_read(tab: chrome.Page, pages: dict[str, Path]) -> None:
    tab.open(pages["ko"])
    told = "document.querySelector('#flips-reader [role=status]').textContent"
    every = int(tab.run(told).split("전체 ")[1].split("개")[0])
    tab.run(
        "(() => { const one = document.getElementById('flips-by-language');"
        " one.value = [...one.options].find(each => each.text.startsWith('ja')).value;"
        " one.dispatchEvent(new Event('change')); })()"
    )
    assert 0 < int(tab.run(told).split("개 중")[0]) < every
    listed = "[...document.querySelectorAll('#flips-reader .what')].map(one => one.textContent)"
    assert all(line.startswith("ja 日本語 · ") for line in tab.run(listed))
    facts = tab.run("[...document.querySelectorAll('#flips-reader dl > *')].map(one => one.textContent)")
    assert facts[:6] == ["정답", "2개 중 1번", "none의 선택", "2개 중 1번", "변형의 선택", "2개 중 2번"]
    assert tab.errors == []


@pytest.mark.parametrize("reader", ["duels", "flips"])
def test_the_arrow_keys_move_through_the_list(tab: chrome.Page, pages: dict[str, Path], reader: str) -> None:
    tab.open(pages["ko"])
    tab.run(f"document.querySelector('#{reader}-reader .duel-list button').focus()")
    read = f"document.querySelectorAll('#{reader}-reader .duel-list button')[2].getAttribute('aria-pressed')"
    assert tab.run(read) == "false"
    for _ in range(2):
        tab.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowDown", code="ArrowDown")
    assert tab.run(read) == "true"


def test_printed_it_unfolds_what_is_folded_and_drops_the_controls(tab: chrome.Page, pages: dict[str, Path]) -> None:
    tab.open(pages["en"])
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.run("getComputedStyle(document.querySelector('.filters')).display") == "none"
    assert tab.run("document.querySelector('details table').getBoundingClientRect().height") > 0
    tab.call("Emulation.setEmulatedMedia", media="")
