"""What a plan says of judging, and that the documented example is what is computed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.duelpower import about_duels
from results.power import winrate_power

DOC = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")


def test_the_documented_example_is_computed():
    (block,) = [block for block in re.findall(r"```text\n(.*?)```", DOC, re.S) if "win rates of 80 questions" in block]
    assert " ".join(block.split()) == " ".join(about_duels(80, 2, 4, 2, effects=(0.036, 0.157)))


@pytest.mark.parametrize("questions", [24, 80, 500])
def test_the_documented_powers_are_computed(questions):
    (row,) = [line for line in DOC.splitlines() if re.match(rf"\| {questions} \| [\d.]+ to", line)]
    found = [winrate_power(questions, ties=ties, turn_correlation=rho) for ties, rho in ((0.5, 0.0), (0.3, 0.4))]
    ranges = [" to ".join(f"{100 * getattr(one, name):.1f}" for one in found) for name in ("half_width", "smallest")]
    assert [cell.strip() for cell in row.split("|")[2:4]] == ranges


def test_a_small_difference_is_said_to_be_out_of_reach_and_a_large_one_is_not():
    calls, rate, between, small, large = about_duels(80, 2, 4, 2, effects=(0.036, 0.157))
    assert calls.endswith("320 judge calls each, 5,120 in all.")
    assert "±5.0 to ±7.0 points" in rate
    assert "must differ by 10.0 to 14.0 points" in between  # sqrt(2) times 7.1 and 9.9
    assert "not to be told from chance here; it takes" in small
    assert "not to be told" not in large


@pytest.mark.parametrize("text", ["nothing", "0", "-3.6", "100"])
def test_an_effect_is_a_difference_of_two_rates_in_points(text, capsys):
    from harness.cli import main

    assert main(["plan", "--effect", text]) == 2
    assert f"'{text}' is no difference between two win rates: points above 0, below 100" in capsys.readouterr().err
