from __future__ import annotations

import doctest

from harness import problems
from harness.exits import ExitCode
from harness.problems import UserError, nearest, together, unknown


def test_examples():
    assert doctest.testmod(problems).failed == 0


def test_a_user_error_is_a_value_error_with_exit_code_2():
    error = UserError("No.")
    assert isinstance(error, ValueError)
    assert error.exit_code is ExitCode.USAGE
    assert UserError("Full.", ExitCode.STORE).exit_code is ExitCode.STORE


def test_nearest_ignores_case_and_keeps_the_spelling_of_the_option():
    assert nearest("ORG/model", ["Org/Model"]) == " Did you mean 'Org/Model'?"


def test_unknown_says_what_was_given_the_nearest_match_all_names_and_what_next():
    said = unknown("method", "rnt", ["rtn", "awq"], "See the list.")
    assert said == "There is no method 'rnt'. Did you mean 'rtn'? Known: awq and rtn. See the list."


def test_one_problem_is_a_sentence_and_several_are_a_list():
    assert str(together("a.toml", ["x is 3."])) == "a.toml: x is 3."
    assert str(together("a.toml", ["x is 3.", "y is 4."])) == "a.toml has 2 mistakes:\n  - x is 3.\n  - y is 4."
