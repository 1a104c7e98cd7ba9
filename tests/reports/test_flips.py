"""The reader of flipped answers: all of them, the largest changes first, inert whatever a task's items are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich_run import HOSTILE, build_rich

from reports.flips import Entry, flips, most_moved, reader
from reports.gathered import Gathered, gather
from reports.html import render
from reports.page import page
from reports.reader import CHUNK, unpack
from reports.section import Reader
from reports.words import Words
from results.claims import make_claims
from results.flips import Turned
from results.store import Run


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, build: Callable[..., Path]) -> Gathered:
    run = Run.open(build_rich(tmp_path_factory.mktemp("rich"), build, ("en", "ja")))
    return gather(run, make_claims(run), Words("en"))


def entries(found: Gathered) -> list[Entry]:
    return [(change, turned) for change in found.claims.answers for turned in change.flips.turned]


def unpacked(made: Reader) -> tuple[dict, list[list]]:
    return unpack(made.index), [entry for chunk in made.chunks for entry in unpack(chunk)["entries"]]


def test_every_changed_answer_is_listed_with_its_margins_and_choices(found: Gathered) -> None:
    section = flips(found, Words("ko"))
    assert section
    assert section.reader
    assert section.reader.name == "flips"
    index, told = unpacked(section.reader)
    counted = sum(change.flips.changed for change in found.claims.answers)
    assert len(index["rows"]) == len(told) == counted > 1
    filters = {one["name"]: one["values"] for one in index["filters"]}
    assert set(filters["language"]) == {"en English", "ja 日本語"}
    assert filters["direction"][0] == "정답 → 오답"
    assert filters["task"] == ["langgap_items"]
    assert index["words"]["gold"] == "정답"
    assert index["words"]["previous"] == "이전 쪽"
    for row, (item, choices, gold, was, now, before, after) in zip(index["rows"], told, strict=True):
        assert item.startswith(("en-item-", "ja-item-"))
        assert (choices, gold, was, now) == (2, 0, 0, 1)  # nothing but losses: every method lowers the margins
        assert before > 0 > after
        assert row[-1] == pytest.approx(after - before, abs=2e-3)
    largest = [row[-1] for row in index["rows"] if row[:4] == index["rows"][0][:4]]
    assert largest == sorted(largest)


def test_entries_of_several_chunks_stand_as_in_the_index(found: Gathered) -> None:
    every = entries(found)
    many = every * (2 * CHUNK // len(every) + 1)
    made = reader(many, Words("en"))
    index, told = unpacked(made)
    assert len(made.chunks) == -(-len(many) // CHUNK) > 2
    assert [entry[0] for entry in told] == [turned.item for _, turned in many]
    assert [row[-2] for row in index["rows"]] == [turned.group for _, turned in many]


def test_nothing_changed_no_section(found: Gathered) -> None:
    still = [replace(one, flips=replace(one.flips, turned=())) for one in found.claims.answers]
    assert flips(replace(found, claims=replace(found.claims, answers=tuple(still))), Words("en")) is None


def test_of_too_many_those_that_moved_most_are_kept_each_in_its_place(found: Gathered) -> None:
    every = entries(found)
    kept = most_moved(every, 10)

    def moved(some: Sequence[Entry]) -> list[float]:
        return [abs((turned.margin_now or 0) - (turned.margin_was or 0)) for _, turned in some]

    assert sorted(moved(kept)) == sorted(moved(every))[-10:]
    order = {id(change): place for place, change in enumerate(found.claims.answers)}
    places = [order[id(change)] for change, _ in kept]
    assert places == sorted(places)
    assert len(most_moved(every, 10**6)) == len(every)


def test_what_is_not_known_is_null_and_hostile_names_stay_packed(found: Gathered) -> None:
    change = found.claims.answers[0]
    bare = Turned("id", HOSTILE, "gained", None, None, None, None, None, None)
    made = reader([(replace(change, task=HOSTILE), bare)], Words("en"))
    index, told = unpacked(made)
    assert told == [["id", None, None, None, None, None, None]]
    assert index["rows"][0][-2:] == [HOSTILE, None]
    section = flips(found, Words("en"))
    assert section
    words = Words("en")
    html = render(page(found, words, None, replace(section, reader=made)), words)
    assert "onerror" not in html
    assert 'data-reader="flips"' in html
    assert "script-src 'sha256-" in html
