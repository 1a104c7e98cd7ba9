"""Where a sweep's variants are measured. Each executor yields the same outcomes for the same jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.facts import World
    from harness.passes import Job
    from harness.specs import SweepConfig
    from harness.variant import Outcome
    from methods.base import Progress


def outcomes(
    config: SweepConfig, jobs: Iterable[Job], world: World, cache: Path, progress: Progress
) -> Iterator[Outcome]:
    """Every cell's outcome as it is finished, by the executor that the sweep names."""
    if config.executor == "ray":
        import torch

        from harness.executors import ray
        from harness.specs import RaySpec

        sources = [model.source for model in world.models.values()]
        return ray.outcomes(jobs, sources, cache, config.ray or RaySpec(), torch.get_num_threads(), progress)
    from harness.executors import local

    return local.outcomes(jobs, progress)
