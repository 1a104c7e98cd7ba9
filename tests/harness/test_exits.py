from __future__ import annotations

from harness.exits import ExitCode


def test_the_numbers_scripts_rely_on():
    numbers = {code.name: int(code) for code in ExitCode}
    assert numbers == {
        "OK": 0,
        "REGRESSED": 1,
        "USAGE": 2,
        "INCOMPLETE": 3,
        "INCONCLUSIVE": 4,
        "BASELINE": 5,
        "STORE": 6,
        "INTERNAL": 70,
        "INTERRUPTED": 130,
        "PIPE": 141,
    }
