"""Cards, advice, equal bytes, neurons and explanations: what the page makes of records and claims."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from reports import findings
from reports.gathered import Gathered, gather
from reports.html import render
from reports.neurons import counts_of
from reports.page import Page, page
from reports.section import Card, Section
from reports.words import TEXT, Words
from results.claims import make_claims
from results.equal_bytes import EqualBytes
from results.metric import METRICS
from results.record import Record
from results.store import Run

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, build: Callable[..., Path]) -> Gathered:
    run = Run.open(build(tmp_path_factory.mktemp("cards"), languages=("en", "ko")))
    return gather(run, make_claims(run), Words("en"))


def noted(found: Gathered, label: str, notes: Mapping[str, str]) -> Gathered:
    """The same run, where the footprint record of one variant tells more."""

    def told(record: Record) -> Record:
        is_it = record.cell.task == "footprint" and found.labels[record.cell.variant.key] == label
        return replace(record, notes={**record.notes, **notes}) if is_it else record

    return replace(found, records=[told(record) for record in found.records])


def section(content: Page, name: str) -> Section:
    return next(section for section in content.sections if section.id == name)


def card(found: Gathered, label: str, lang: str = "en") -> Card:
    return next(card for card in section(page(found, Words(lang)), "cards").cards if card.title == label)


class TestCards:
    def test_one_a_variant_with_what_matters_in_one_line(self, found: Gathered) -> None:
        lines = {card.title: card.line for card in section(page(found, Words("en")), "cards").cards}
        assert list(lines) == list(found.variants["variant"])
        assert lines["rtn 4-bit"].startswith("388 MB · 4.12 bits per weight · ko 한국어 +")
        assert lines["none"] == "536 MB"
        assert lines["ref_bitsandbytes nf4"] == "1 cells failed · 1 cells skipped"

    def test_facts(self, found: Gathered) -> None:
        facts = dict(card(found, "awq 4-bit").facts)
        assert facts["parameters"] == "bits=4, granularity=group:128, grid=20"
        assert facts["calibration"] == "bundled en:1 ko:1, 4096 tokens, draw 0"
        assert facts["bytes by part"] == (
            "388 MB = codes 50.0 MB + scales and zeros 1.6 MB + embeddings 336 MB + rest 0.7 MB"
        )
        row = found.changes[(found.changes["variant"] == "awq 4-bit") & (found.changes["language"] == "en")].iloc[0]
        assert facts["loses least"].startswith(f"en English +{row['extra_bits']:.2f} [{row['extra_bits_low']:.2f}, ")
        assert facts["loses most"].startswith("ko 한국어 +")

    def test_the_bar_is_as_long_as_its_bytes_are_of_the_largest(self, found: Gathered) -> None:
        bars = card(found, "rtn 4-bit").bars
        total = 49_971_200 + 1_561_600 + 335_544_320 + 669_184
        assert bars[-1].start + bars[-1].width == pytest.approx(100 * total / (335_544_320 + 200_540_800), abs=0.05)
        assert [bar.role for bar in bars] == ["c1", "c5", "g1", "g3"]

    def test_untouched_layers_and_notes_of_this_variant_alone(self, found: Gathered) -> None:
        told = noted(found, "rtn 4-bit", {"untouched": "18 layers left as they were (a: b)", "library_took": "3 s"})
        facts = dict(card(told, "rtn 4-bit").facts)
        assert facts["left untouched"] == "18 layers left as they were (a: b)"
        assert facts["library took"] == "3 s"
        assert "library took" not in dict(card(told, "awq 4-bit").facts)

    def test_in_korean(self, found: Gathered) -> None:
        facts = dict(card(found, "awq 4-bit", "ko").facts)
        assert facts["가장 많이 잃은 언어"].startswith("ko 한국어 문장당 +")
        assert facts["가장 많이 잃은 언어"].endswith("] 비트")

    def test_hostile_notes_stay_text(self, found: Gathered) -> None:
        content = page(noted(found, "rtn 4-bit", {"untouched": HOSTILE, HOSTILE: HOSTILE}), Words("en"))
        html = render(replace(content, sections=[section(content, "cards")]), Words("en"))
        assert HOSTILE not in html
        assert html.count("&lt;script&gt;") == 3


def test_a_first_screen_of_many_sentences_folds_the_rest(found: Gathered, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = section(page(found, Words("en")), "verdict")
    monkeypatch.setattr(findings, "MOST_SENTENCES", 4)
    cut = section(page(found, Words("en")), "verdict")
    assert len(cut.sentences) == 5  # the last one tells of failures, and is never folded
    assert cut.sentences[-1].kind == "failed"
    assert cut.sentences[:4] == whole.sentences[:4]
    assert {*cut.sentences, *cut.folded} == {*whole.sentences, *whole.folded}


class TestAdvice:
    def test_it_opens_the_first_screen_and_repeats_the_claims(self, found: Gathered) -> None:
        said = [sentence.text for sentence in section(page(found, Words("en")), "verdict").sentences]
        assert said[0] == found.claims.advice[-1].sentence_en
        assert said[0].startswith("Under 0.39 GB, for Korean, take awq 4-bit (388 MB).")
        said = [sentence.text for sentence in section(page(found, Words("ko")), "verdict").sentences]
        assert said[0] == found.claims.advice[-1].sentence_ko

    def test_it_agrees_with_the_comparisons(self, found: Gathered) -> None:
        for one in found.claims.advice:
            verdicts = {
                it.b if it.a == one.variant else it.a: it.verdict if it.a == one.variant else _turned(it.verdict)
                for it in found.claims.comparisons
                if one.variant in (it.a, it.b) and it.language == one.language and it.measure == "bits"
            }
            assert {name for name, verdict in verdicts.items() if verdict == "win"} >= set(one.beats)
            assert all(verdicts[name] == "tie" for name in one.ties)


def _turned(verdict: str) -> str:
    return {"win": "loss", "loss": "win", "tie": "tie"}[verdict]


def test_equal_bytes_stand_in_a_section_of_their_own(found: Gathered) -> None:
    assert "equal-bytes" not in [section.id for section in page(found, Words("en")).sections]
    both = tuple(
        it for it in found.claims.comparisons if (it.a, it.b, it.measure) == ("awq 4-bit", "rtn 3-bit", "bits")
    )
    assert both
    one = EqualBytes("awq 4-bit", "rtn 3-bit", "", 388e6, 375e6, "below", both, f"said {HOSTILE}", "말")
    told = replace(found, claims=replace(found.claims, equal_bytes=(one,)))
    content = page(told, Words("en"))
    shown = section(content, "equal-bytes")
    assert [sentence.text for sentence in shown.sentences] == [f"said {HOSTILE}"]
    rows = shown.tables[0].table.rows()
    assert [row[5][0] for row in rows] == ["en English", "ko 한국어"]
    assert rows[0][4][0] == "nearest below"
    assert rows[0][8][0] == "better"
    assert HOSTILE not in render(replace(content, sections=[shown]), Words("en"))
    assert [it.text for it in section(page(told, Words("ko")), "equal-bytes").sentences] == ["말"]


class TestNeurons:
    COUNTS = json.dumps({"kept": [0, 3], "ko": [0, 3], "en": [2, 1]})

    def test_the_map_stands_in_the_page_where_a_method_kept_its_counts(self, found: Gathered) -> None:
        assert "neurons" not in [section.id for section in page(found, Words("en")).sections]
        told = noted(found, "awq 4-bit", {"neurons_by_block": self.COUNTS, "kept": f"3 of 8 {HOSTILE}"})
        content = page(told, Words("en"))
        shown = section(content, "neurons")
        assert [sentence.text for sentence in shown.sentences] == [f"Kept by awq 4-bit: 3 of 8 {HOSTILE}."]
        assert [[text for text, _ in row] for row in shown.tables[0].table.rows()[:3]] == [
            ["awq 4-bit", "kept", "0", "0"],
            ["awq 4-bit", "kept", "1", "3"],
            ["awq 4-bit", "ko 한국어", "0", "0"],
        ]
        html = render(replace(content, sections=[shown]), Words("en"))
        assert "fullest colour: 3 neurons" in html
        assert HOSTILE not in html
        assert "neurons by block" not in dict(card(told, "awq 4-bit").facts)

    @pytest.mark.parametrize(
        "note", ["", "3", "[]", "{}", '{"ko": 1}', '{"ko": [1.5]}', '{"ko": [1], "en": [1, 2]}', '{"ko": [-1]}', "{"]
    )
    def test_anything_else_is_no_map(self, found: Gathered, note: str) -> None:
        assert counts_of(note) is None


class TestTerms:
    @pytest.mark.parametrize("lang", ["en", "ko"])
    def test_every_metric_is_explained_once_where_it_first_appears(self, found: Gathered, lang: str) -> None:
        words, known = Words(lang), set()
        content = page(found, words)
        for shown in content.sections:
            columns = [column for view in shown.tables for column in view.table.columns]
            fresh = [it.metric for it in columns if words.meaning(it.metric) and it.metric not in known]
            assert [said for _, said in shown.terms] == [words.meaning(name) for name in dict.fromkeys(fresh)]
            known |= set(fresh)
        assert {"extra_bits", "bits_per_weight", "kld_mean", "perplexity", "gap", "kld_p99", "p_adjusted"} <= known

    def test_no_column_with_numbers_of_a_metric_goes_unexplained(self, found: Gathered) -> None:
        named = {
            column.metric
            for shown in page(found, Words("en")).sections
            for view in shown.tables
            for column in view.table.columns
            if column.numeric and column.metric in METRICS
        }
        assert named
        assert all(Words(lang).meaning(name) for lang in ("en", "ko") for name in named)

    def test_a_term_is_of_a_column(self) -> None:
        assert Words("en").meaning("nonesuch") == ""
        assert all(TEXT[key][1] for key in TEXT if key.startswith("term_"))


def test_figures_for_papers_are_written_beside(tmp_path: Path, found: Gathered) -> None:
    from reports.plot_files import write_figure

    plot = section(page(found, Words("en")), "sizes").plot
    assert plot
    made = write_figure(tmp_path / "a", plot, Words("en"), lambda notice: None)
    assert [path.name for path in made] == ["sizes.pdf", "sizes.png"]
    assert made[0].read_bytes().startswith(b"%PDF-")
    again = write_figure(tmp_path / "b", plot, Words("en"), lambda notice: None)
    assert [path.read_bytes() for path in made] == [path.read_bytes() for path in again]


def test_a_figure_without_glyphs_is_not_written_and_said(
    tmp_path: Path, found: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reports import plot_files

    monkeypatch.setattr(plot_files, "fonts_for", lambda text: ([], "한"))
    plot = section(page(found, Words("en")), "sizes").plot
    assert plot
    heard: list[str] = []
    assert plot_files.write_figure(tmp_path / "a", plot, Words("en"), heard.append) == []
    assert "No figure files for sizes" in heard[0]
    assert not (tmp_path / "a").exists()
