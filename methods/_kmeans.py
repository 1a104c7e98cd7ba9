"""Weighted k-means in one dimension, for many rows at once.

Legend: R rows of n weights w with importances F >= 0; k values c; M cells.

    minimise   sum over a row of F (w - c(w))^2          c(w): the value nearest to w

In one dimension the best clusters are intervals of the sorted row, so a clustering is k - 1 borders between sorted
weights, and prefix sums give the cost of an interval: with S0, S1, S2 the sums of F, F w, F w^2 up to a border,

    cost(i, j) = S2[j] - S2[i] - (S1[j] - S1[i])^2 / (S0[j] - S0[i])

Two solvers. ``exact`` finds the least cost by dynamic programming over (clusters, right end), with divide and conquer
on the split points, which never move left as the right end moves right: O(k n log n) a row. ``histogram`` lets borders
fall between M cells only, whose own sums stay exact. Cells are cut so that they matter equally (Panter and Dite's law
for companders: point density ~ density^(1/3)), so a cluster holds about M / k of them; none may hold more than
``SPAN`` times as many: O(M^2) a row. Then ``refine``, a second and narrow dynamic programme, moves all borders at once
within a few weights of where they are, which leaves nothing for Lloyd's iteration to do. Prefix sums are float64, as
differences of squares cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SPAN = 2.5
"""Cells that a cluster may hold, in units of M / k, before its row is solved without a bound."""
TINY = torch.finfo(torch.float32).tiny
NOTHING = torch.finfo(torch.float64).tiny
REACH = 4
"""Places tried on either side of a border in the narrow programme."""
COST_CHUNK = {"cpu": 2**20}
"""Entries of cost matrices in memory at a time: on a CPU what its cache holds, elsewhere ``COST_CHUNK_ELSEWHERE``."""
COST_CHUNK_ELSEWHERE = 2**26


class Row(NamedTuple):
    """Rows sorted and merged: n distinct weights each, with prefix sums. A bfloat16 row holds many weights twice."""

    values: Tensor
    """float32 ``(R, n)``, rising. Rows of fewer distinct weights than others repeat the last, without importance."""
    sums: tuple[Tensor, Tensor, Tensor]
    """S0, S1, S2: float64 ``(R, n + 1)``, beginning with 0. F is divided by its row's largest."""

    @classmethod
    def sorted(cls, weight: Tensor, importance: Tensor) -> Row:
        """From ``weight`` float32 and ``importance``, both ``(R, weights)``."""
        order = _order(weight)
        values = weight.gather(1, order)
        f = importance.double().gather(1, order)
        largest = f.amax(1, keepdim=True)
        f = torch.where(largest > 0, f / largest, 1.0)
        x = values.double()
        edges = _runs(values)
        s0, s1, s2 = (_prefix(part).gather(1, edges) for part in (f, f * x, f * x * x))
        return cls(values.gather(1, edges[:, :-1].clamp(max=weight.shape[1] - 1)), (s0, s1, s2))

    def means(self, borders: Tensor) -> Tensor:
        """float32 ``(R, k)``: weighted means of the intervals between ``borders (R, k + 1)``.

        An interval without importance is represented by its middle weight, an empty one by the weight at its border.
        """
        s0, s1 = (total.gather(1, borders).diff(dim=1) for total in self.sums[:2])
        last = self.values.shape[1] - 1
        first, final = borders[:, :-1].clamp(max=last), (borders[:, 1:] - 1).clamp(min=0)
        ends = self.values.gather(1, first), self.values.gather(1, torch.maximum(first, final))
        middle = self.values.gather(1, (first + torch.maximum(first, final)) // 2)
        means = torch.where(s0 > 0, (s1 / s0).float(), middle)
        return means.clamp(*ends)  # a sum of next to nothing is mostly rounding

    def cost(self, borders: Tensor) -> Tensor:
        """float64 ``(R,)``: sum of F (w - mean)^2, F relative to the row's largest."""
        return _cost(*(total.gather(1, borders).diff(dim=1) for total in self.sums)).sum(1)


def histogram(row: Row, k: int) -> Tensor:
    """int64 borders ``(R, k + 1)``: the best that fall between 128 + 6 k cells."""
    cells = 128 + 6 * k
    edges = _cell_edges(row, cells)
    sums = [total.gather(1, edges) for total in row.sums]
    all_cells = edges.shape[1] - 1
    span = min(all_cells, int(SPAN * cells / k))
    borders = _best_borders(sums, k, span)
    wide = (borders.diff(dim=1)[:, 1:] >= span).any(1)  # these rows may want a wider cluster
    if span < all_cells and bool(wide.any()):
        borders[wide] = _best_borders([total[wide] for total in sums], k, all_cells)
    return edges.gather(1, borders)


def _cell_edges(row: Row, cells: int) -> Tensor:
    """int64 ``(R, cells + 1)``: equal steps of importance^(1/3) spacing^(2/3) per weight; every weight where n is less.

    A little of rank is added, so that no stretch goes without a cell, and no weight counts more than a cell, as no
    border can fall within it.
    """
    n = row.values.shape[1]
    if n <= cells:
        return torch.arange(n + 1, device=row.values.device).expand(len(row.values), -1)
    f, x = row.sums[0].diff(dim=1).float(), row.values
    step = x.diff(dim=1)
    gap = torch.nn.functional.pad(step, (1, 1), mode="replicate")
    gap = (gap[:, 1:] + gap[:, :-1]) / (x[:, -1:] - x[:, :1]).clamp(min=TINY)
    distinct = torch.nn.functional.pad(step > 0, (1, 0), value=True)
    measure = (f * gap * gap).clamp_(min=0).pow_(1 / 3)
    measure /= measure.sum(1, keepdim=True).clamp_(min=TINY)
    measure += 0.2 * distinct / distinct.sum(1, keepdim=True)
    for _ in range(2):  # what is cut off is shared out, which may lift others over the limit: rarely twice
        measure = measure.minimum(measure.sum(1, keepdim=True) / cells)
    total = measure.cumsum(1)
    steps = torch.linspace(0, 1, cells + 1, dtype=total.dtype, device=total.device)[1:-1] * total[:, -1:]
    inner = torch.searchsorted(total, steps) + 1
    number = torch.arange(1, cells, device=inner.device)
    apart = (inner - number).cummax(1).values + number  # no cell is empty
    return _with_ends(apart.minimum(n - cells + number), n)


def _best_borders(sums: Sequence[Tensor], k: int, span: int) -> Tensor:
    """int64 ``(R, k + 1)``: numbers of the cell edges, given S0, S1, S2 at the edges, each ``(R, M + 1)``.

    Every cluster but the first holds at most ``span`` cells.
    """
    entries = COST_CHUNK.get(sums[0].device.type, COST_CHUNK_ELSEWHERE)
    step = max(1, entries // (sums[0].shape[1] * (span + 1)))
    parts = zip(*(total.split(step) for total in sums), strict=True)
    return torch.cat([_best_of(part, k, span) for part in parts])


def _best_of(sums: Sequence[Tensor], k: int, span: int) -> Tensor:
    """``_best_borders`` of as many rows as have their cost matrices in memory at once.

    Rows come last within, so that every step runs over adjacent numbers.
    """
    sums = [total.t().contiguous() for total in sums]
    edges, rows = sums[0].shape

    def before(level: Tensor) -> Tensor:
        """``(span + 1, M + 1, R)``: [d, j, r] is ``level`` at edge j - span + d, or at the first edge."""
        return torch.cat([level[:1].expand(span, -1), level]).unfold(0, edges, 1).mT

    starts = [before(total) for total in sums]
    cost = torch.empty(span + 1, edges, rows, device=sums[0].device)
    for d in range(span + 1):  # one at a time, for in float64 all together would leave the cache
        cost[d] = _cost(*(total - start[d] for total, start in zip(sums, starts, strict=True)))
    best = [_cost(*sums).float()]
    both = torch.empty_like(cost)
    for _ in range(k - 2):
        torch.add(cost, before(best[-1]), out=both)
        best.append(both.amin(0))
    border = torch.full((1, rows), edges - 1, device=cost.device)
    borders = [border]
    for level in reversed(best):  # only the borders in use need the split point, so it is found on the way back
        here = border.expand(span + 1, 1, -1)
        split = (cost.gather(1, here) + before(level).gather(1, here))[:, 0].argmin(0, keepdim=True)
        border = (border - span + split).clamp_(min=0)
        borders.append(border)
    borders[k:] = [torch.zeros_like(border)]
    return torch.cat(borders[::-1]).t()


def refine(row: Row, borders: Tensor) -> Tensor:
    """Borders moved together to the best places near them: places some weights apart at first, then single weights."""
    n = row.values.shape[1]
    for stride in (*(step for step in (81, 27, 9) if step <= n // 256), 3, 1):
        borders = _best_nearby(row, borders, stride)
    return borders


def _best_nearby(row: Row, borders: Tensor, stride: int) -> Tensor:
    """The best borders of all that are at most ``REACH`` strides from ``borders (R, k + 1)``."""
    n, inner = row.values.shape[1], borders.shape[1] - 2
    nearby = stride * torch.arange(-REACH, REACH + 1, device=borders.device)
    places = (borders[:, 1:-1, None] + nearby).clamp_(0, n)  # (R, k - 1, P)
    at = [total.gather(1, places.flatten(1)).view(places.shape) for total in row.sums]
    cost = _cost(*(total[:, 1:, :, None] - total[:, :-1, None, :] for total in at))  # [r, border, to, from]
    cost.masked_fill_(places[:, 1:, :, None] < places[:, :-1, None, :], torch.inf)
    best = [_cost(*(total[:, 0] for total in at))]
    for border in range(inner - 1):
        best.append((cost[:, border] + best[-1][:, None, :]).amin(2))
    rest = _cost(*(whole[:, -1:] - total[:, -1] for whole, total in zip(row.sums, at, strict=True)))
    pick = (best[-1] + rest).argmin(1, keepdim=True)
    picks = [pick]
    for border in reversed(range(inner - 1)):
        into = cost[:, border].gather(1, pick[:, :, None].expand(-1, -1, len(nearby)))[:, 0]
        pick = (into + best[border]).argmin(1, keepdim=True)
        picks.append(pick)
    chosen = torch.cat(picks[::-1], 1)
    return _with_ends(places.gather(2, chosen[:, :, None])[:, :, 0], n)


def exact(row: Row, k: int) -> Tensor:
    """int64 borders ``(R, k + 1)`` of least cost."""
    best = _cost(*row.sums)
    splits = []
    for _ in range(k - 1):
        best, split = _next_level(row.sums, best)
        splits.append(split)
    border = torch.full((len(best), 1), best.shape[1] - 1, device=best.device)
    borders = [border]
    for split in reversed(splits):
        border = split.gather(1, border)
        borders.append(border)
    return torch.cat([*borders, torch.zeros_like(border)][::-1], 1)


def _next_level(sums: tuple[Tensor, ...], best: Tensor) -> tuple[Tensor, Tensor]:
    """From the least costs ``(R, n + 1)`` of all beginnings in m clusters to those in m + 1, with their last splits.

    Right ends are visited at strides 2^p, 2^(p-1) ... 1; a split lies between those of the neighbours already known,
    so all ends of one stride have about n + (their number) candidates together, laid out one after another.
    """
    rows, size = best.shape
    offset = torch.arange(rows, device=best.device)[:, None] * size
    flat, level = [total.flatten() for total in (*sums, best)], torch.zeros_like(best)
    split = torch.zeros(rows, size + 1, dtype=torch.long, device=best.device)
    split[:, -1] = size - 1
    stride = 1 << (size - 1).bit_length()
    while stride := stride // 2:
        ends = torch.arange(stride, size, 2 * stride, device=best.device)
        low, high = split[:, ends - stride], split[:, (ends + stride).clamp(max=size)].minimum(ends)
        width = (high - low + 1).flatten()
        owner = torch.arange(len(width), device=best.device).repeat_interleave(width)
        within = torch.arange(len(owner), device=best.device) - (width.cumsum(0) - width)[owner]
        begin = (low + offset).flatten()[owner] + within
        end = (ends + offset).flatten()[owner]
        costs = flat[3][begin] + _cost(*(total[end] - total[begin] for total in flat[:3]))
        least = torch.segment_reduce(costs, "min", lengths=width)
        begin = torch.where(costs == least[owner], within, size)
        first = torch.full_like(width, size).scatter_reduce_(0, owner, begin, "amin").view(low.shape)
        level[:, ends], split[:, ends] = least.view(low.shape), low + first
    return level, split[:, :-1]


def _cost(s0: Tensor, s1: Tensor, s2: Tensor) -> Tensor:
    """Cost of intervals from their sums; 0 where there is no importance."""
    return torch.addcdiv(s2, s1.square(), s0.clamp(min=NOTHING), value=-1).clamp_(min=0)


def _order(weight: Tensor) -> Tensor:
    """int64, the shape of ``weight``: what sorts each row. On a CPU NumPy's sort takes a quarter of torch's time."""
    return torch.from_numpy(weight.numpy().argsort(1)) if weight.device.type == "cpu" else weight.argsort(1)


def _runs(values: Tensor) -> Tensor:
    """int64 ``(R, runs + 1)``: where runs of equal values begin, and n, which rows of fewer runs than others repeat."""
    rows, n = values.shape
    begins = torch.nn.functional.pad(values[:, 1:] != values[:, :-1], (1, 0), value=True)
    runs = begins.sum(1, keepdim=True)
    number, place = (torch.arange(count, device=values.device) for count in (int(runs.max()) + 1, n))
    edges = torch.full((rows, len(number)), n, device=values.device)
    return edges.masked_scatter_(number < runs, place.expand(rows, -1)[begins])


def _prefix(values: Tensor) -> Tensor:
    return torch.nn.functional.pad(values.cumsum(1), (1, 0))


def _with_ends(inner: Tensor, n: int) -> Tensor:
    return torch.nn.functional.pad(torch.nn.functional.pad(inner, (1, 0)), (0, 1), value=n)
