"""Weighted k-means in one dimension: against brute force, Lloyd's iteration, scikit-learn and repeated points."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from methods._codebook import SOLVERS, centroids
from methods._kmeans import Row, exact, histogram, refine


def rows(count: int, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Heavy-tailed weights as a bfloat16 checkpoint has them; importances over many orders of magnitude."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(5, count, n, generator=generator)
    weight = 0.015 * draw[0] / (draw[1:4].square().mean(0)).sqrt().clamp(min=0.3)
    return weight.bfloat16().float(), (1e-9 * draw[4].square() * (2 * draw[1]).exp())


def solved(row: Row, k: int) -> Tensor:
    """Cost with the solver for speed."""
    return row.cost(refine(row, histogram(row, k)))


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("n", [1, 2, 5, 9, 12])
def test_both_solvers_find_what_brute_force_finds_on_short_rows(n: int, k: int) -> None:
    weight, importance = rows(12, n)
    weight[0], weight[1] = 1.0, weight[1].sign()
    importance[2], importance[3, : n // 2] = 0.0, 0.0
    row = Row.sorted(weight, importance)
    best = torch.full((12,), torch.inf, dtype=torch.float64)
    size = row.values.shape[1]  # of the row with most distinct weights
    for inner in itertools.combinations_with_replacement(range(size + 1), k - 1):
        best = best.minimum(row.cost(torch.tensor([0, *inner, size]).expand(12, -1)))
    torch.testing.assert_close(row.cost(exact(row, k)), best, rtol=1e-9, atol=1e-18)
    torch.testing.assert_close(solved(row, k), best, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("k", [4, 8, 16])
def test_the_dynamic_programme_is_never_beaten_and_the_fast_solver_comes_within_a_thousandth(k: int) -> None:
    row = Row.sorted(*rows(32, 600))
    best = row.cost(exact(row, k))
    equal = torch.arange(k + 1) * row.values.shape[1] // k
    assert bool((best <= row.cost(refine(row, equal.expand(32, -1))) * (1 + 1e-9)).all())
    excess = solved(row, k) / best - 1
    assert float(excess.min()) > -1e-9
    assert float(excess.mean()) < 1e-3
    assert float(excess.max()) < 0.03


@pytest.mark.parametrize("k", [8, 16])
def test_scikit_learn_finds_nothing_better(k: int) -> None:
    cluster_module = pytest.importorskip("sklearn.cluster")
    weight, importance = rows(6, 600, seed=1)
    row = Row.sorted(weight, importance)
    ours = solved(row, k)
    for index, (w, f) in enumerate(zip(weight, importance, strict=True)):
        found = cluster_module.KMeans(k, random_state=0, n_init="auto", max_iter=50)
        found.fit(w.numpy()[:, None], sample_weight=f.numpy())
        centres = torch.from_numpy(found.cluster_centers_[found.labels_, 0])
        theirs = (f.double() / f.max() * (w.double() - centres).square()).sum()
        assert float(ours[index]) <= float(theirs) * (1 + 1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
def test_whole_importances_are_repeated_points(solver: str) -> None:
    weight, _ = rows(1, 200)
    times = torch.arange(200) % 4
    repeated = weight[0].repeat_interleave(times)[None]
    weighted = centroids(weight, times[None].float(), 4, solver)
    plain = centroids(repeated, torch.ones_like(repeated), 4, solver)
    torch.testing.assert_close(weighted, plain, rtol=1e-3 if solver == "histogram" else 1e-6, atol=1e-5)


def test_weights_without_importance_pull_no_value() -> None:
    weight, importance = rows(3, 100)
    importance[:, 50:] = 0
    away = weight.clone()
    away[:, 50:] *= 3
    first, second = (centroids(w, importance, 4, "exact") for w in (weight, away))
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-7)
