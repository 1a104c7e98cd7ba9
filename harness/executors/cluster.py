"""Joining a Ray cluster, and asking its nodes whether they can do a sweep: versions, cache, weights, devices."""

from __future__ import annotations

import logging
import os
import platform
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from harness.problems import UserError
from methods.base import Source
from results.environment import capture

DOORBELL_SECONDS = 10.0
"""A head node that does not answer for so long is not there."""
CHECK_SECONDS = 120.0
"""For every node to say what it has."""
PACKAGES = ("langgap", "torch", "transformers")
"""Whose versions decide the numbers."""


@contextmanager
def connected(address: str | None, threads: int) -> Iterator[None]:
    """A connection to the cluster; without an address, a cluster of this machine alone, on loopback."""
    try:
        import ray
    except ImportError:
        raise UserError("The executor ray needs Ray: pip install 'langgap[ray]'") from None
    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        _ring(address)
    else:  # as the local executor: at Ray's own 15 whatever else this machine does leaves its workers next to nothing
        os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    alone: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    was_there = ray.is_initialized()
    if not was_there:
        try:
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}},
                **({} if address else alone),
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = f"at '{address}'" if address else "on this machine"
            raise UserError(f"Ray cannot be reached {where}: {' '.join(str(error).split())[:300]}") from None
    try:
        yield
    finally:
        if not was_there:
            ray.shutdown()


def _ring(address: str) -> None:
    """Raise UserError unless something listens at HOST:PORT (of a running head node, or ray://HOST:PORT)."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in ("auto", "local"):
        return
    if not host or not port.isdigit():
        raise UserError(f"'{address}' is no address of a Ray cluster; write HOST:PORT, ray://HOST:PORT or auto.")
    try:
        socket.create_connection((host, int(port)), DOORBELL_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"No Ray cluster answers at '{address}' within {DOORBELL_SECONDS:g} seconds ({error}). "
            "`ray status` on its head node tells the address; start one with `ray start --head`."
        ) from None


class Described(NamedTuple):
    """What decides whether a node gives the same numbers as the others."""

    name: str
    versions: dict[str, str | None]
    sees_cache: bool
    weights: dict[Path, str]
    """Model folder -> digest, of those that are there."""


def _describe(sources: Sequence[Source], token: Path) -> Described:
    """On a node."""
    from harness.digests import folder_digest

    shared = token.is_file()
    there = [source.folder for source in sources if shared and source.folder.is_dir()]
    return Described(
        platform.node(), _versions(), shared, {folder: folder_digest(folder, token.parent) for folder in there}
    )


def _versions() -> dict[str, str | None]:
    environment = capture()
    libraries = {name: environment.libraries.get(name) for name in PACKAGES}
    return {"Python": environment.python, **libraries, "the harness at commit": environment.commit}


def check_nodes(sources: Sequence[Source], cache: Path, cpus: int, gpus: float) -> None:
    """Ask every node for its versions, the shared folder and the models. Raises UserError naming what differs where."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    token = cache / f".shared-{uuid.uuid4().hex}"
    token.touch()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    try:
        task = ray.remote(_describe)
        asked = {
            task.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(sources, token): node
            for node in nodes
        }
        ready, silent = ray.wait(list(asked), num_returns=len(asked), timeout=CHECK_SECONDS)
        if silent:
            names = ", ".join(asked[ref]["NodeManagerAddress"] for ref in silent)
            raise UserError(f"The node {names} did not say what it has within {CHECK_SECONDS:g} seconds.")
        here = _versions()
        for ref in ready:
            try:
                _require_alike(ray.get(ref), asked[ref], sources, cache, here)
            except ray.exceptions.RayTaskError as error:
                where = asked[ref]["NodeManagerAddress"]
                raise UserError(f"The node {where} cannot run the harness: {error.cause!r}.") from None
    finally:
        token.unlink()
    fitting = [
        node for node in nodes if node["Resources"].get("CPU", 0) >= cpus and node["Resources"].get("GPU", 0) >= gpus
    ]
    if not fitting:
        have = "; ".join(
            f"{node['NodeManagerAddress']}: {node['Resources'].get('CPU', 0):g} cpus, "
            f"{node['Resources'].get('GPU', 0):g} gpus"
            for node in nodes
        )
        raise UserError(
            f"No node has the {cpus} cpus and {gpus:g} gpus that a variant is to have ({have}); ask for less in [ray]."
        )


def _require_alike(
    found: Described, node: dict[str, Any], sources: Sequence[Source], cache: Path, here: dict[str, str | None]
) -> None:
    """Raise UserError where a node is not like the driver, whose versions are ``here``."""
    where = f"{found.name} ({node['NodeManagerAddress']})"
    for name, wanted in here.items():
        if (has := found.versions[name]) != wanted:
            raise UserError(
                f"The node {where} has {name} {has or 'missing'}, and the driver {wanted or 'none'}: install the same."
            )
    if not found.sees_cache:
        raise UserError(
            f"The node {where} does not see the driver's cache '{cache}': name a folder that all nodes share with "
            "--cache or LANGGAP_CACHE."
        )
    for source in sources:
        digest = found.weights.get(source.folder)
        if digest is None:
            raise UserError(f"The node {where} does not see the model's folder {source.folder}; share it with all.")
        if digest != source.digest:
            raise UserError(f"The node {where} has other weights in {source.folder} than the driver.")
