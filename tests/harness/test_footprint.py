from __future__ import annotations

import pytest

from harness import footprint
from methods.base import Source
from results.metric import METRICS


@pytest.fixture
def artifact(tiny_folder, tmp_path):
    def make(method):
        from methods import load

        folder = tiny_folder(hidden_size=64, intermediate_size=128, head_dim=16)
        return load(method)().compress(Source(folder, "digest"), None, tmp_path / method).folder

    return make


def test_parts_add_up_and_rounding_is_smaller(artifact):
    none, rtn = footprint.measure(artifact("none")), footprint.measure(artifact("rtn"))
    for found in (none, rtn):
        value = {name: estimate.value for name, estimate in found.estimates.items()}
        parts = ("code_bytes", "scale_bytes", "side_bytes", "embedding_bytes", "head_bytes", "rest_bytes")
        assert sum(value[part] for part in parts) == value["total_bytes"] < value["file_bytes"]
        assert set(value) <= set(footprint.METRICS) <= set(METRICS)
        assert all(estimate.method == "none" for estimate in found.estimates.values())
        assert found.samples == ()
    assert rtn.estimates["total_bytes"].value < none.estimates["total_bytes"].value
    assert 4 < rtn.estimates["bits_per_weight"].value < 5
    assert rtn.notes["base_bytes"] == none.notes["base_bytes"]


def test_nothing_compressed_has_no_bits_per_weight(artifact):
    found = footprint.measure(artifact("none"))
    assert "bits_per_weight" not in found.estimates
    assert found.estimates["code_bytes"].value == 0
