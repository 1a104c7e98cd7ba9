"""Seconds that OBR takes for one linear, against its size and by both solvers; and what the chooser takes.

    python benchmarks/obr.py [--quick] [--sizes 512 1024 2048] [--rows 128] [--alpha 0.5]

A random weight on correlated inputs, half of it pruned by Wanda's score after rotation: the factor of H; restoration,
by either solver; and compensation with the GPTQ finish at 4 bits. Error: that of the gradients' restoration against
the exact one, relative. Seconds are wall time or, with ``--processor``, processor time, which a busy machine spoils
less. A linear of a model takes its rows divided by ``--rows`` times as long.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

SIZES = (256, 512, 1024, 2048)
QUICK = (128, 256, 512)


def inputs(size: int) -> Tensor:
    """The mean of x x' over inputs whose channels share what they say and differ in size."""
    import torch

    near = (torch.arange(size)[:, None] - torch.arange(size)).abs() / 40
    x = torch.randn(2 * size, size) @ (torch.randn(size, size) * (-near).exp()) * torch.randn(size).exp()
    return x.T @ x / len(x)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", help=f"input channels, if not {SIZES}")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--processor", action="store_true", help="processor time in place of wall time")
    parser.add_argument("--quick", action="store_true", help=f"sizes {QUICK}, 32 rows")
    asked = parser.parse_args()
    rows = 32 if asked.quick else asked.rows
    clock = time.process_time if asked.processor else time.perf_counter

    import torch

    from methods._obr import Grid, chosen, restored, rounded
    from methods._prune import by_row
    from methods._restoration import factorize
    from methods._rotation import rotation

    print(f"{rows} rows, 50% pruned, {torch.get_num_threads()} threads; seconds\n")
    print("| inputs | factor of H | cholesky | gradients | error | chosen | 4 bits, rest |")
    print("|---:|---:|---:|---:|---:|---|---:|")
    for size in asked.sizes or (QUICK if asked.quick else SIZES):
        taken: list[float] = []

        def timed(work: Callable[..., Any], *given: object, taken: list[float] = taken) -> Any:
            started = clock()
            result = work(*given)
            taken.append(clock() - started)
            return result

        torch.manual_seed(0)
        turn = rotation(size)
        weight = turn.apply(torch.randn(rows, size))
        factor = timed(factorize, turn.turn(inputs(size)), 0.01)
        hessian = factor.hessian
        kept = ~by_row(weight.abs() * hessian.diagonal().sqrt(), 0.5)
        exact = timed(restored, weight, hessian, kept, "cholesky")
        near = timed(restored, weight, hessian, kept, "gradients")
        timed(rounded, exact, factor, kept, Grid.fitted(weight, 4, None), asked.alpha, True)
        error = float((near - exact).norm() / (exact - weight * kept).norm())
        cells = [f"{seconds:.3f}" for seconds in taken]
        print(f"| {size} | {' | '.join(cells[:3])} | {error:.1e} | {chosen(kept)} | {cells[3]} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
