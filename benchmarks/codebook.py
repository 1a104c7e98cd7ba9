"""Our codebooks beside scikit-learn's KMeans, called as SqueezeLLM's released code calls it, on rows of a real model.

    python benchmarks/codebook.py [--model bundled:gemma-3-270m] [--blocks 0 9 17] [--rows 64] [--sequences 2]

Importances are the squared gradients of a few calibration sequences, half English and half Korean. Error is the sum of
importance * (weight - its value)^2 before values are rounded, as its excess over the exact optimum; ``lower`` counts
the rows on which scikit-learn converged and has the lower error. Time is the process's CPU time per row, so that a busy
machine does not count: ours of the whole matrix at once, as a matrix is compressed, sorting and prefix sums included;
scikit-learn's and the optimum's of the rows compared.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

SIZES = (8, 16)
ROUNDS = 50
SEQUENCE = 512


class Compared(NamedTuple):
    """What was found on some rows, one number per row but for the times."""

    ours: Tensor
    """Excess over the optimum, 0.01 = 1%."""
    theirs: Tensor
    converged: Tensor
    """Whether scikit-learn stopped before its last round."""
    seconds: float
    """A row."""
    their_seconds: float
    exact_seconds: float


def compare(matrix: Tensor, heed: Tensor, chosen: Tensor, k: int) -> Compared:
    """``matrix``, ``heed``: weights and importances, float32 ``(rows, n)``; rows that are ``chosen`` are compared."""
    import torch
    from sklearn.cluster import KMeans

    from methods._codebook import assign, centroids, lookup

    weight, importance = matrix[chosen], heed[chosen]

    def timed(solver: str, matrix: Tensor, heed: Tensor) -> tuple[Tensor, float]:
        started = time.process_time()
        table = centroids(matrix, heed, k, solver)
        return table, (time.process_time() - started) / len(matrix)

    def error(table: Tensor) -> Tensor:
        return (importance.double() * (weight.double() - lookup(assign(weight, table), table)).square()).sum(1)

    table, seconds = timed("histogram", matrix, heed)
    ours = error(table[chosen])
    table, exact_seconds = timed("exact", weight, importance)
    best = error(table)
    tables, rounds = [], []
    started = time.process_time()
    for w, f in zip(weight.numpy(), importance.numpy(), strict=True):
        found = KMeans(k, random_state=0, n_init="auto", max_iter=ROUNDS).fit(w[:, None], sample_weight=f)
        tables.append(torch.from_numpy(found.cluster_centers_[:, 0]).sort().values)
        rounds.append(found.n_iter_)
    their_seconds = (time.process_time() - started) / len(weight)
    theirs = error(torch.stack(tables).float())
    return Compared(
        ours / best - 1, theirs / best - 1, torch.tensor(rounds) < ROUNDS, seconds, their_seconds, exact_seconds
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled:gemma-3-270m")
    parser.add_argument("--blocks", type=int, nargs="+", default=[0, 9, 17])
    parser.add_argument("--rows", type=int, default=64, help="of each matrix, at random")
    parser.add_argument("--sequences", type=int, default=2, help=f"of {SEQUENCE} calibration tokens")
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    if importlib.util.find_spec("sklearn") is None:
        print("scikit-learn is not installed. Run: pip install scikit-learn", file=sys.stderr)
        return 1

    import torch

    from harness.calibration import draw_calibration
    from harness.models import default_cache, resolve
    from harness.specs import CalibrationSpec
    from methods._blocks import family
    from methods._fisher import fisher
    from methods._shards import Shards

    cache = asked.cache or default_cache()
    source = resolve(asked.model, cache).source
    tokenizer = source.tokenizer()
    calibration = draw_calibration(
        lambda text: tokenizer(text)["input_ids"],  # type: ignore[arg-type, return-value]
        tokenizer.bos_token_id,  # type: ignore[arg-type]
        CalibrationSpec(sequences=asked.sequences, length=SEQUENCE),
        ("en", "ko"),
        cache=cache / "moments",
    )
    importance, shards, kind = fisher(source, calibration), Shards(source.folder), family(source.config)
    generator = torch.Generator().manual_seed(0)
    found: dict[tuple[int, int], list[Compared]] = defaultdict(list)
    for block in asked.blocks:
        for linear in kind.linears:
            weight, heed = shards[f"{kind.blocks}.{block}.{linear}.weight"].float(), importance.diagonal(block, linear)
            chosen = torch.randperm(len(weight), generator=generator)[: asked.rows]
            chosen = chosen[heed[chosen].amax(1) > 0]
            for k in SIZES:
                found[weight.shape[1], k].append(compare(weight, heed, chosen, k))

    print(f"{asked.model}, blocks {asked.blocks}, {asked.rows} rows of each linear, {calibration.label}, ")
    print(f"{torch.get_num_threads()} threads; excess over the optimum: mean / worst row; time: CPU ms a row\n")
    print("| n | k | rows | scikit-learn | ours | lower | scikit-learn ms | ours ms | ratio | exact ms |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for (n, k), parts in sorted(found.items()):
        ours, theirs = torch.cat([part.ours for part in parts]), torch.cat([part.theirs for part in parts])
        lower = int((torch.cat([part.converged for part in parts]) & (theirs < ours - 1e-6)).sum())
        mine, other, best = (
            1000 * sum(seconds) / len(seconds)
            for seconds in zip(*((part.seconds, part.their_seconds, part.exact_seconds) for part in parts), strict=True)
        )
        print(
            f"| {n} | {k} | {len(ours)} | {theirs.mean():.2%} / {theirs.max():.1%} "
            f"| {ours.mean():.4%} / {ours.max():.2%} | {lower} | {other:.1f} | {mine:.2f} | {other / mine:.1f} "
            f"| {best:.0f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
