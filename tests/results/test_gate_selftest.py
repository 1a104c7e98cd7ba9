from __future__ import annotations

from dataclasses import replace

import pytest

from results.gate_selftest import NothingToSwap, self_test
from results.policy import parse_policy, read_policy


def test_false_alarms_stay_below_what_is_allowed(gate_cells):
    found = self_test(read_policy(), gate_cells(worse={("rtn", "ko"): 5.0, ("awq", "ja"): 4.0}, noise=2.0), trials=600)
    assert (found.trials, found.passages) == (600, 16)
    assert found.checks == 2 * (3 + 2)  # each of two rules once, though beside the baseline and the anchor
    assert found.is_sound
    assert found.alarms <= found.alarms_at_zero <= 0.05 * 600
    low, high = found.interval
    assert low <= found.rate <= high


def test_more_alarms_than_allowed_are_called_so(gate_cells):
    found = self_test(read_policy(), gate_cells(), trials=20)
    assert not replace(found, alarms_at_zero=10).is_sound


def test_is_seeded(gate_cells):
    cells = gate_cells(noise=2.0)
    assert self_test(read_policy(), cells, 100) == self_test(read_policy(), cells, 100)


def test_nothing_to_swap(gate_cells):
    with pytest.raises(NothingToSwap, match="no finished cell of `none`"):
        self_test(read_policy(), gate_cells(methods=("rtn",)))
    with pytest.raises(NothingToSwap, match="no blocking rule pairs enough passages"):
        self_test(read_policy(), gate_cells(passages=3))
    sizes = parse_policy({"rule": [{"metric": "total_bytes", "margin": 1.0}]})
    with pytest.raises(NothingToSwap, match="no blocking rule"):
        self_test(sizes, gate_cells())
