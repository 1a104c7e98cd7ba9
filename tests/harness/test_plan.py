from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from harness.config import parse_config
from harness.plan import CalibrationFacts, Facts, ModelFacts, calibration_of, make_plan, text_key

BASE = {
    "models": ["a", "b"],
    "languages": ["en", "ko"],
    "limit": 3,
    "method": [{"name": "awq"}, {"name": "none"}, {"name": "rtn", "bits": [4, 3]}],
    "task": [{"name": "perplexity"}, {"name": "fidelity"}, {"name": "footprint"}],
}


def facts_for(config):
    """Made-up fingerprints that name what they are of."""
    wanted = [spec for method in config.methods if (spec := calibration_of(config, method))]
    return Facts(
        models={name: ModelFacts(f"weights of {name}", "float32", "cpu", "rev") for name in config.models},
        texts={
            text_key(task, code): f"text {code} {task.params['corpus']}"
            for task in config.tasks
            if "corpus" in task.params
            for code in config.languages
        },
        calibrations={
            (model, spec.key, draw): CalibrationFacts(f"{model} {spec.languages} {draw}", "label")
            for model in config.models
            for spec in wanted
            for draw in range(config.draws)
        },
    )


def planned(**changes):
    config = parse_config({**BASE, **changes}, "test")
    return make_plan(config, facts_for(config))


@pytest.fixture(autouse=True)
def _listed(listed):
    """Every test here plans with the stand-ins."""


def test_none_comes_first_for_each_model_then_the_file_s_order():
    found = [(it.variant.model, it.variant.method, it.variant.params.get("bits")) for it in planned().variants]
    one = [("none", None), ("awq", 4), ("rtn", 4), ("rtn", 3)]
    assert found == [("a", *each) for each in one] + [("b", *each) for each in one]


def test_a_variant_says_all_that_defines_it():
    variant = planned(seed=5).variants[1].variant
    assert (variant.weights, variant.revision) == ("weights of a", "rev")
    assert (variant.dtype, variant.device, variant.seed) == ("float32", "cpu", 5)
    assert variant.params == {"bits": 4, "format": "gemm"}
    assert variant.calibration == "a {'en': 0.5, 'ko': 0.5} 0"
    assert variant.calibration_label == "label"


def test_methods_without_calibration_have_no_fingerprint():
    assert [it.variant.calibration for it in planned(models=["a"]).variants if it.variant.method != "awq"] == [None] * 3


def test_only_methods_that_read_calibration_text_are_drawn_again_and_the_first_draw_of_all_comes_first():
    plan = planned(models=["a"], draws=3)
    assert [(it.variant.method, it.draw) for it in plan.variants] == [
        ("none", 0),
        ("awq", 0),
        ("rtn", 0),
        ("rtn", 0),
        ("awq", 1),
        ("awq", 2),
    ]
    assert len({it.variant.key for it in plan.variants}) == 6


def test_a_method_s_own_calibration_is_its_own_variant():
    mixes = [{"name": "awq"}, {"name": "awq", "calibration": {"languages": {"ko": 2}}}]
    plan = planned(models=["a"], method=mixes)
    assert [it.calibration.languages for it in plan.variants[1:]] == [{"en": 0.5, "ko": 0.5}, {"ko": 1.0}]


def test_methods_that_count_neurons_name_the_sweep_s_languages(counting):
    both = [{"name": "awq"}, {"name": "counting"}]
    plan = planned(models=["a"], method=both, calibration={"languages": {"ko": 1}})
    specs = [it.calibration for it in plan.variants[1:]]
    assert [(spec.languages, spec.firing) for spec in specs] == [({"ko": 1.0}, None), ({"ko": 1.0}, ("en", "ko"))]
    assert specs[0].key != specs[1].key


def test_equal_tokens_make_one_variant_whatever_the_mix_is_called():
    mixes = [{"name": "awq"}, {"name": "awq", "calibration": {"languages": {"en": 2, "ko": 2}}}]
    assert [it.variant.method for it in planned(models=["a"], method=mixes).variants] == ["none", "awq"]


def test_what_is_weighed_comes_first_and_then_language_by_language():
    cells = planned(models=["a"]).variants[1].cells
    assert [(cell.task, cell.language) for cell in cells] == [
        ("footprint", "und"),
        ("perplexity", "en"),
        ("fidelity", "en"),
        ("perplexity", "ko"),
        ("fidelity", "ko"),
    ]


def test_cells_name_task_version_text_and_limit():
    weighed, read, compared, *_ = planned(models=["a"]).variants[1].cells
    assert (weighed.text, weighed.limit, weighed.params) == ("", None, {})
    assert (read.task_version, read.text, read.limit) == (2, "text en bundled", 3)
    assert read.params == {"corpus": "bundled", "protocol": "rolling", "window": None}
    assert compared.task_version == 5


def test_fidelity_refers_to_the_same_text_read_by_none_and_that_of_none_is_the_noise_floor():
    none, awq, *_ = planned(models=["a"]).variants
    read = {cell.language: cell.key for cell in none.cells if cell.task == "perplexity"}
    for variant in (none, awq):
        assert {cell.language: cell.reference for cell in variant.cells if cell.task == "fidelity"} == read


def test_the_reference_s_key_does_not_depend_on_whether_perplexity_is_asked_for():
    both, alone = planned(models=["a"]), planned(models=["a"], task=[{"name": "fidelity"}])
    keys = [[cell.reference for cell in plan.variants[1].cells if cell.task == "fidelity"] for plan in (both, alone)]
    assert keys[0] == keys[1]


def test_two_protocols_are_two_cells_each_with_its_own_reference():
    tasks = [
        {"name": name, "protocol": protocol} for name in ("perplexity", "fidelity") for protocol in ("rolling", "x")
    ]
    plan = planned(models=["a"], languages=["en"], task=tasks)
    none, awq, *_ = plan.variants
    read = {cell.key for cell in none.cells if cell.task == "perplexity"}
    assert len(read) == 2
    assert {cell.reference for cell in awq.cells if cell.reference} == read


@pytest.mark.parametrize("task", ["perplexity", "fidelity"])
def test_none_is_added_and_said_where_a_text_is_read(task):
    plan = planned(models=["a"], method=[{"name": "rtn"}], task=[{"name": task}])
    assert [it.variant.method for it in plan.variants] == ["none", "rtn"]
    assert plan.notes == ("`none`, the original, was added: every change is measured against it.",)


def test_none_is_not_added_where_nothing_is_compared():
    plan = planned(models=["a"], method=[{"name": "rtn"}], task=[{"name": "footprint"}])
    assert [it.variant.method for it in plan.variants] == ["rtn"]
    assert plan.notes == ()


def test_a_task_may_concern_some_methods_and_always_none():
    plan = planned(models=["a"], task=[{"name": "perplexity"}, {"name": "footprint", "only": ["rtn"]}])
    weighed = {it.variant.method for it in plan.variants for cell in it.cells if cell.task == "footprint"}
    assert weighed == {"none", "rtn"}
    assert {cell.variant.method for cell in plan.cells if cell.task == "perplexity"} == {"none", "rtn", "awq"}


def test_the_added_none_is_the_same_variant_as_one_that_was_asked_for():
    added = planned(method=[{"name": "rtn"}]).variants[0]
    asked = planned(method=[{"name": "none"}, {"name": "rtn"}]).variants[0]
    assert added.variant.key == asked.variant.key


def test_a_limited_cell_never_satisfies_an_unlimited_plan():
    limited, other = planned(models=["a"]), planned(models=["a"], limit=2)
    common = {cell.key for cell in limited.cells} & {cell.key for cell in other.cells}
    assert {cell.task for cell in limited.cells if cell.key in common} == {"footprint"}


def test_names_for_readers_do_not_change_a_key():
    config = parse_config({**BASE, "models": ["a"]}, "test")
    facts = facts_for(config)
    renamed = replace(config, models=("elsewhere/a",), name="other", out="there")
    moved = Facts(
        {"elsewhere/a": facts.models["a"]},
        facts.texts,
        {
            ("elsewhere/a", *rest): CalibrationFacts(it.fingerprint, "x")
            for (_, *rest), it in facts.calibrations.items()
        },
    )
    assert [c.key for c in make_plan(config, facts).cells] == [c.key for c in make_plan(renamed, moved).cells]


def test_all_keys_differ_and_the_plan_is_the_same_each_time():
    plan = planned(draws=2)
    assert len({cell.key for cell in plan.cells}) == len(plan.cells)
    assert plan == planned(draws=2)


def test_planning_imports_nothing_heavy():
    program = (
        "import sys, harness.plan, harness.config\nprint(sorted({'torch', 'numpy', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
