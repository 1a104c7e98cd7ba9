"""The Pareto front against its definition."""

from __future__ import annotations

import random

import pytest

from reports.frontier import frontier

Point = tuple[float, float]


def beats(a: Point, b: Point) -> bool:
    return a[0] <= b[0] and a[1] <= b[1] and a != b


@pytest.mark.parametrize("seed", range(50))
def test_by_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    # Small integers make equal coordinates and equal points common.
    points = [(float(rng.randint(0, 6)), float(rng.randint(0, 6))) for _ in range(rng.randint(0, 12))]
    expected = {i for i, point in enumerate(points) if not any(beats(other, point) for other in points)}
    found = frontier(points)
    assert set(found) == expected
    assert len(found) == len(expected)
    assert [points[i] for i in found] == sorted(points[i] for i in found)


def test_nothing() -> None:
    assert frontier([]) == []
