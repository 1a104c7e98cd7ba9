"""What is told when a cluster cannot be joined, or one of its nodes cannot do the sweep. No Ray is needed for it."""

from __future__ import annotations

import re
import socket
import sys

import pytest

from harness.executors import cluster
from harness.executors.cluster import Described, _require_alike, _ring, _versions
from harness.problems import UserError
from methods.base import Source

NODE = {"NodeManagerAddress": "10.0.0.7"}


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "model", "digest")


def described(source, **changes):
    found = Described("worker", _versions(), True, {source.folder: source.digest})
    return found._replace(**changes)


def test_a_node_like_the_driver_is_taken(source, tmp_path):
    _require_alike(described(source), NODE, [source], tmp_path, _versions())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"versions": {**_versions(), "torch": "1.0"}},
            r"The node worker \(10.0.0.7\) has torch 1.0, and the driver .*: install the same.",
        ),
        ({"versions": {**_versions(), "transformers": None}}, "has transformers missing, and the driver"),
        ({"sees_cache": False}, r"does not see the driver's cache .*: name a folder that all nodes share with --cache"),
        ({"weights": {}}, "does not see the model's folder .*; share it with all."),
        ({"weights": "other"}, "has other weights in .* than the driver."),
    ],
)
def test_one_that_differs_is_named_with_what_it_has(source, tmp_path, changes, sentence):
    if changes.get("weights") == "other":
        changes = {"weights": {source.folder: "another digest"}}
    with pytest.raises(UserError, match=sentence):
        _require_alike(described(source, **changes), NODE, [source], tmp_path, _versions())


def test_without_ray_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=re.escape("The executor ray needs Ray: pip install 'langgap[ray]'")):
        cluster.connected(None, 1).__enter__()


def test_an_address_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(cluster, "DOORBELL_SECONDS", 2.0)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(UserError, match=f"No Ray cluster answers at '127.0.0.1:{port}' within 2 seconds"):
        _ring(f"127.0.0.1:{port}")


def test_an_address_that_is_none():
    with pytest.raises(UserError, match="'somewhere' is no address of a Ray cluster; write HOST:PORT"):
        _ring("somewhere")
