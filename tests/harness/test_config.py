from __future__ import annotations

import doctest
import subprocess
import sys
import tomllib
from argparse import Namespace
from pathlib import Path

import pytest

from harness import config, overrides, table, toml
from harness.config import load_config, parse_config, to_toml
from harness.problems import UserError
from harness.specs import CalibrationSpec, MethodSpec, TaskSpec

SMALL = {"method": [{"name": "rtn"}], "task": [{"name": "footprint"}]}


def problems(mapping):
    with pytest.raises(UserError) as caught:
        parse_config(mapping, "a.toml")
    return str(caught.value)


def options(**given):
    names = ("config", "model", "method", "task", "languages", *overrides.PLAIN)
    return Namespace(**{**dict.fromkeys(names), "quick": False, **given})


@pytest.mark.parametrize("module", [table, toml, overrides])
def test_examples(module):
    assert doctest.testmod(module).failed == 0


class TestAFile:
    def test_of_one_s_own(self, tmp_path, listed):
        file = tmp_path / "mine.toml"
        file.write_text('languages = ["en", "th"]\n[[method]]\nname = "rtn"\n[[task]]\nname = "footprint"\n')
        found = load_config(file)
        assert found.name == "mine"
        assert found.languages == ("en", "th")
        assert (found.seed, found.draws, found.limit, found.out) == (0, 1, None, None)
        assert (found.dtype, found.device, found.executor) == ("auto", "auto", "local")

    def test_missing_names_the_nearest_beside_it(self, tmp_path):
        (tmp_path / "sweep.toml").write_text("")
        with pytest.raises(UserError, match=r"There is no sweep file '.*swep\.toml'\. Did you mean 'sweep\.toml'\?"):
            load_config(tmp_path / "swep.toml")

    def test_missing_in_a_missing_folder(self, tmp_path):
        with pytest.raises(UserError, match=r"no sweep file '.*/no/a\.toml'\. The examples/ folder"):
            load_config(tmp_path / "no" / "a.toml")

    def test_that_is_no_toml_says_where(self, tmp_path):
        (tmp_path / "a.toml").write_text("a = 1\nb = \n")
        with pytest.raises(UserError, match=r"a\.toml' is not valid TOML: .*line 2"):
            load_config(tmp_path / "a.toml")

    def test_that_is_not_utf_8_or_a_folder(self, tmp_path):
        (tmp_path / "a.toml").write_bytes(b"\xff")
        for path in (tmp_path / "a.toml", tmp_path):
            with pytest.raises(UserError, match="cannot be read"):
                load_config(path)


class TestMistakes:
    def test_are_all_told_together(self, listed):
        said = problems(
            {
                "langages": ["en"],
                "seed": "x",
                "dtype": "float23",
                "method": [{"name": "rnt"}, {"name": "awq", "bitz": 4, "bits": "four", "format": "gem"}],
                "task": [{"name": "perplexty"}, {"name": "perplexity", "protokol": "rolling", "window": "wide"}],
                "calibration": {"sequence": 3, "length": 1},
            }
        )
        assert said.startswith("a.toml has 12 mistakes:")
        for sentence in (
            "there is no key 'langages'. Did you mean 'languages'?",
            "seed is 'x', but must be an integer.",
            "dtype is 'float23', but must be one of auto, float32, bfloat16 and float16. Did you mean 'float32'?",
            "[[method]] 1: There is no method 'rnt'. Did you mean 'rtn'? Known: awq, none and rtn.",
            "[[method]] 2 (awq): there is no parameter 'bitz'. Did you mean 'bits'? "
            "Known: name, calibration, label, bits and format.",
            "[[method]] 2 (awq): bits is 'four', but must be an integer.",
            "[[method]] 2 (awq): format is 'gem', but must be 'gemm' or 'gemv'.",
            "[[task]] 1: There is no task 'perplexty'. Did you mean 'perplexity'?",
            "[[task]] 2 (perplexity): there is no parameter 'protokol'. Did you mean 'protocol'?",
            "[[task]] 2 (perplexity): window is 'wide', but must be an integer.",
            "[calibration]: there is no key 'sequence'. Did you mean 'sequences'?",
            "[calibration]: length is 1, but must be 2 or more.",
        ):
            assert sentence in said

    def test_alone_is_one_sentence(self, listed):
        assert problems({**SMALL, "draws": 0}) == "a.toml: draws is 0, but must be 1 or more."

    @pytest.mark.parametrize(
        ("more", "sentence"),
        [
            ({"models": []}, "models is an empty list; name at least one, or leave the key out."),
            ({"models": "a/b"}, "models is 'a/b', but must be a list of strings."),
            ({"models": ["a", "a"]}, "models names 'a' twice; leave one."),
            ({"languages": []}, "languages is an empty list"),
            ({"languages": ["Korean"]}, "'Korean' is no language code. Did you mean 'ko'?"),
            ({"limit": 0}, "limit is 0, but must be 1 or more."),
            ({"limit": True}, "limit is True, but must be an integer."),
            ({"draws": 1.5}, "draws is 1.5, but must be an integer."),
            ({"name": "a/b"}, "name is 'a/b', but it becomes a folder's name"),
            ({"out": ""}, "out is empty."),
            ({"device": "cuda:x"}, "device is 'cuda:x', but must be auto, cpu, cuda or cuda:N."),
            ({"executor": "rey"}, "executor is 'rey', but must be one of local and ray. Did you mean 'ray'?"),
            ({"calibration": 3}, "calibration is 3, but must be a table: write it under [calibration]."),
            ({"calibration": {"languages": {"en": -1}}}, "the weight of en is -1, but must be a number, 0 or more."),
            ({"calibration": {"languages": {"en": 0}}}, "at least one weight must be more than 0."),
            ({"calibration": {"languages": {"eng": "x"}}}, "the weight of eng is 'x'"),
            ({"calibration": {"languages": "en"}}, "languages is 'en', but must be codes with weights"),
            ({"calibration": {"languages": []}}, "languages is a list that is empty"),
            ({"method": []}, "it names no method"),
            ({"method": {"name": "rtn"}}, "method must be a list of tables: write each under [[method]]"),
            ({"method": [{"bits": 4}]}, "[[method]] 1: it has no name. Known methods: awq, none, rtn."),
            ({"method": [{"name": "rtn", "bits": []}]}, "bits is an empty list; a list is a grid of values to try."),
            ({"method": [{"name": "rtn", "bits": [4, "3"]}]}, "bits is '3', but must be an integer."),
            ({"method": [{"name": "rtn", "bits": True}]}, "bits is True, but must be an integer."),
            ({"method": [{"name": "rtn", "symmetric": 1}]}, "symmetric is 1, but must be true or false."),
            ({"method": [{"name": "rtn", "bits": [4, 4]}]}, "the method rtn with bits=4"),
            ({"method": [{"name": "rtn", "label": "a", "bits": [3, 4]}]}, "the label 'a' would name 2 variants"),
            ({"method": [{"name": "rtn", "calibration": {}}]}, "rtn reads no calibration text"),
            ({"method": [{"name": "awq", "calibration": "ko"}]}, "calibration is 'ko', but must be a table"),
            ({"method": [{"name": "awq", "calibration": {"length": "x"}}]}, "(awq) calibration: length is 'x'"),
            ({"task": []}, "it names no task"),
            ({"task": [{"name": "footprint", "only": ["rtm"]}]}, "only names 'rtm', which is no method of this sweep."),
            ({"executor": "ray", "ray": {"cpus": 0}}, "[ray]: cpus is 0, but must be 1 or more."),
            ({"executor": "ray", "ray": {"gpu": 1}}, "[ray]: there is no key 'gpu'. Did you mean 'gpus'?"),
            ({"executor": "ray", "ray": {"minutes": 0}}, "[ray]: minutes is 0, but must be 0.001 or more."),
            ({"task": [{"name": "footprint"}] * 2}, "the task footprint with no parameters is asked for twice"),
            ({"task": [{"name": "perplexity", "corpus": "bundld"}]}, "Did you mean 'bundled'?"),
            ({"task": [{"name": "perplexity", "corpus": "file:no/{language}.txt"}]}, "There is no folder 'no', where"),
            ({"languages": ["en", "sw"], "task": [{"name": "perplexity"}]}, "has no sw"),
            ({"method": [{"name": "awq"}], "calibration": {"languages": {"sw": 1}}}, "has no sw"),
        ],
    )
    def test_each(self, listed, more, sentence):
        assert sentence in problems({**SMALL, **more})

    def test_of_a_method_that_compares_languages(self, counting):
        counts = {**SMALL, "method": [{"name": "counting"}]}
        assert problems({**counts, "languages": ["ko"]}) == (
            "a.toml: languages: counting chooses neurons by comparing languages, so the sweep needs two of them at "
            "least, not only ko."
        )
        only_korean = {"corpus": "bundled", "languages": {"ko": 1}}  # the neurons' text is asked for all the same
        assert "has no sw" in problems({**counts, "languages": ["ko", "sw"], "calibration": only_korean})


def test_a_calibration_that_nobody_reads_is_not_looked_for(listed):
    unread = {"corpus": "file:no/{language}.txt"}
    parse_config({**SMALL, "calibration": unread}, "x")
    own = {"name": "awq", "calibration": {"corpus": "bundled"}}
    parse_config({**SMALL, "method": [own], "calibration": unread}, "x")


class TestMethods:
    def test_a_list_is_a_grid_the_last_list_varying_fastest(self, listed):
        mapping = {**SMALL, "method": [{"name": "rtn", "bits": [4, 3], "symmetric": [True, False]}]}
        found = [(m.params["bits"], m.params["symmetric"]) for m in parse_config(mapping, "x").methods]
        assert found == [(4, True), (4, False), (3, True), (3, False)]

    def test_defaults_are_filled_in_and_whole_numbers_become_floats_where_floats_are_meant(self, listed):
        (spec,) = parse_config({**SMALL, "method": [{"name": "rtn", "share": 1}]}, "x").methods
        assert spec.params == {"bits": 4, "granularity": "group:128", "symmetric": False, "share": 1.0}
        assert type(spec.params["share"]) is float

    def test_its_own_calibration_fills_up_from_the_sweep_s(self, listed):
        own = {"name": "awq", "calibration": {"languages": ["ko", "en"]}}
        mapping = {**SMALL, "method": [own], "calibration": {"sequences": 3, "length": 64}}
        (spec,) = parse_config(mapping, "x").methods
        assert spec.calibration == CalibrationSpec("bundled", 3, 64, {"ko": 1.0, "en": 1.0})

    def test_equal_parameters_with_other_calibration_are_two_variants(self, listed):
        mapping = {**SMALL, "method": [{"name": "awq"}, {"name": "awq", "calibration": {"languages": {"ko": 1}}}]}
        assert len(parse_config(mapping, "x").methods) == 2


def test_tasks_default_to_all_with_their_defaults(listed):
    tasks = parse_config({"method": [{"name": "rtn"}]}, "x").tasks
    text = {"corpus": "bundled", "protocol": "rolling", "window": None}
    assert tasks == (TaskSpec("fidelity", text), TaskSpec("footprint", {}), TaskSpec("perplexity", text))


def test_calibration_weights_are_shares_and_default_to_the_sweep_s_languages():
    assert CalibrationSpec().weights(["en", "ko"]) == {"en": 0.5, "ko": 0.5}
    assert CalibrationSpec(languages={"en": 3, "ko": 1, "fr": 0}).weights(["ja"]) == {"en": 0.75, "ko": 0.25}


class TestToml:
    def test_the_resolved_file_gives_the_same_configuration_again(self, listed):
        mapping = {
            "name": '따옴표 " 와 \\ 줄\n바꿈',
            "models": ["a/b@main", "./폴더"],
            "languages": ["en", "ko"],
            "limit": 3,
            "calibration": {"languages": {"en": 0.1, "ko": 1e-9}},
            "method": [
                {"name": "rtn", "bits": [3, 4], "share": 0.30000000000000004},
                {"name": "awq", "label": "ko only", "calibration": {"languages": {"ko": 1}, "sequences": 2}},
            ],
            "task": [{"name": "perplexity", "window": 128}, {"name": "footprint"}],
        }
        mapping["name"] = mapping["name"].replace("\\", "")
        found = parse_config(mapping, "x")
        text = to_toml(found)
        assert parse_config(tomllib.loads(text), "y") == found
        assert to_toml(parse_config(tomllib.loads(text), "y")) == text

    def test_awkward_values_survive(self):
        value = {
            "a b": "x\x7f\t\u2028한",
            "n": -1,
            "f": 1e300,
            "l": [[1], ["a"]],
            "t": {"é": {"": True}},
            "m": [{"x": {}}],
        }
        assert tomllib.loads(toml.dumps(value)) == value

    def test_none_has_no_form(self):
        with pytest.raises(TypeError, match="None has no TOML form"):
            toml.dumps({"a": None})


class TestOverrides:
    def test_lists_are_replaced_and_scalars_too(self):
        mapping = {"models": ["a"], "seed": 1, "limit": 9, "method": [{"name": "rtn"}], "task": []}
        args = options(model=["b", "c"], method=["awq:bits=3"], task=["footprint"], languages="en, ko", seed=7)
        assert overrides.overridden(mapping, args) == {
            "models": ["b", "c"],
            "seed": 7,
            "limit": 9,
            "method": [{"name": "awq", "bits": 3}],
            "task": [{"name": "footprint"}],
            "languages": ["en", "ko"],
        }

    def test_the_default_sweep_s_judge_is_for_its_own_answers_and_a_file_s_for_all(self):
        mapping = {"task": [{"name": "answers"}], "judge": {"name": "local"}}
        own = Path("mine.toml")
        for given, judged in (
            ({}, True),
            ({"task": ["answers"]}, False),
            ({"task": ["answers"], "config": own}, True),
            ({"task": ["footprint"], "config": own}, False),
        ):
            assert ("judge" in overrides.overridden(mapping, options(**given))) is judged

    def test_quick_lowers_a_limit_and_never_raises_it(self):
        assert overrides.overridden({"limit": 16, "draws": 5}, options(quick=True)) == {"limit": 3, "draws": 1}
        assert overrides.overridden({"limit": 2}, options(quick=True))["limit"] == 2
        assert overrides.overridden({}, options(quick=True))["limit"] == 3

    def test_an_explicit_limit_wins_over_quick(self):
        assert overrides.overridden({}, options(quick=True, limit=5))["limit"] == 5

    @pytest.mark.parametrize("text", ["rtn:4", "rtn:bits=", "rtn:=4", "rtn:bits=4,oops"])
    def test_an_option_without_value_is_named(self, text):
        with pytest.raises(UserError, match=f"'{text}' has '.*' where key=value belongs, as in 'rtn:bits=4'"):
            overrides.parse_call(text)

    def test_a_corpus_keeps_its_colons_and_braces(self):
        found = overrides.parse_call("perplexity:corpus=file:t/{language}.txt,protocol=gptq")
        assert found == {"name": "perplexity", "corpus": "file:t/{language}.txt", "protocol": "gptq"}

    def test_a_key_under_a_plain_value_is_refused(self):
        with pytest.raises(UserError, match="'calibration' has a value already"):
            overrides.parse_call("awq:calibration=ko,calibration.length=3")


class TestTheSweepsThatComeAlong:
    def test_the_default(self):
        found = config.default_config()
        names = [(m.name, m.params.get("bits"), m.params.get("format")) for m in found.methods]
        assert found.models == ("bundled:gemma-3-270m",)
        assert [name[:2] for name in names] == [
            ("none", None),
            ("rtn", 4),
            ("gptq", 4),
            ("awq", 4),
            ("lape_awq", 4),
            ("ref_bitsandbytes", None),
        ]
        assert names[-1][2] == "nf4"
        assert found.languages == ("en", "ko", "ja", "zh", "fr", "es", "vi", "id")
        assert [task.name for task in found.tasks] == ["perplexity", "fidelity", "footprint", "zeroshot", "answers"]
        answers = found.tasks[-1]
        assert (answers.params["limit"], answers.params["max_new_tokens"], answers.only) == (6, 64, "judged")
        assert answers.params["questions"] == "en=bundled,ko=bundled"
        assert (found.judging.best, found.judging.by, found.judging.judges[0].name) == (2, "bits", "local")
        assert (found.limit, found.calibration) == (16, CalibrationSpec("bundled", 8, 512))

    def test_quick(self):
        found = config.default_config(quick=True)
        assert [m.name for m in found.methods] == ["none", "rtn"]
        assert (found.limit, len(found.languages), found.judging) == (3, 8, None)

    def test_the_examples_are_sound(self):
        from pathlib import Path

        examples = sorted((Path(config.__file__).parent.parent / "examples").glob("*.toml"))
        assert examples
        for path in examples:
            assert load_config(path).name == path.stem


def test_mistakes_are_found_before_anything_heavy_is_imported():
    program = (
        "import sys\nfrom harness.cli import main\n"
        "assert main(['sweep', '--method', 'rnt', '--languages', 'Korean']) == 2\n"
        "print(sorted({'torch', 'numpy', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert "There is no method 'rnt'. Did you mean 'rtn'?" in done.stderr
    assert "'Korean' is no language code." in done.stderr


def test_a_method_s_own_complaint_about_a_value_is_a_user_error(monkeypatch):
    class Picky:
        def __init__(self, bits):
            raise ValueError(f"bits is {bits}, but must be 2, 3, 4 or 8")

    monkeypatch.setattr("methods.load", lambda name: Picky)
    with pytest.raises(UserError, match=r"^rtn: bits is 5, but must be 2, 3, 4 or 8$"):
        config.construct(MethodSpec("rtn", {"bits": 5}))
