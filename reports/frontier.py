"""The Pareto front: which points are not beaten in both size and loss."""

from __future__ import annotations

from collections.abc import Sequence


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other point beats, smaller being better in both coordinates; by first coordinate.

    A point is beaten when another is no larger in both coordinates and smaller in one. Equal points beat neither
    each other, so both stay.

    >>> frontier([(5.0, 1.0), (3.0, 2.0), (4.0, 3.0), (3.0, 2.0)])
    [1, 3, 0]
    """
    order = sorted(range(len(points)), key=lambda i: (points[i], i))
    front: list[int] = []
    for i in order:
        # Sorted by size, then loss: a point is beaten only by one before it.
        if not front or points[i][1] < points[front[-1]][1] or points[i] == points[front[-1]]:
            front.append(i)
    return front
