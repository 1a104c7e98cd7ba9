from __future__ import annotations

import pytest

from results.estimate import Sample
from results.flips import Flips, Turned, flips


def samples(*answers):
    """(id, right choice, choice taken, margin) -> samples of items with four choices."""
    return [
        Sample(name, name, {"correct": float(taken == gold), "choice": float(taken), "margin": margin})
        for name, gold, taken, margin in answers
    ]


BEFORE = samples(("a", 0, 0, 2.0), ("b", 1, 0, -1.0), ("c", 2, 0, -1.0), ("d", 3, 0, -1.0), ("e", 0, 0, 0.5))
AFTER = samples(("a", 0, 1, -0.5), ("b", 1, 1, 0.25), ("c", 2, 3, -2.0), ("d", 3, 0, -1.5), ("e", 0, 0, 1.5))


def test_flips_are_counted_in_every_direction():
    found = flips(BEFORE, AFTER)
    assert (found.items, found.lost, found.gained, found.moved, found.unmatched) == (5, 1, 1, 1, 0)
    assert found.changed == 3
    assert found.margin_changes == {"a": -2.5, "b": 1.25, "c": -1.0, "d": -0.5, "e": 1.0}


def test_each_answer_that_changed_is_told_with_its_choices_and_margins():
    assert flips(BEFORE, AFTER).turned == (
        Turned("a", "a", "lost", None, 0, 0, 1, 2.0, -0.5),
        Turned("b", "b", "gained", None, 1, 0, 1, -1.0, 0.25),
        Turned("c", "c", "moved", None, None, 0, 3, -1.0, -2.0),  # of four choices the right one may be any other
    )


@pytest.mark.parametrize(("choices", "gold"), [(3.0, 2), (4.0, None)])
def test_of_three_choices_the_right_one_is_the_one_nobody_took(choices, gold):
    sides = [[Sample("a", "p#1", {"correct": 0.0, "choice": taken, "choices": choices})] for taken in (0.0, 1.0)]
    assert flips(*sides).turned == (Turned("a", "p#1", "moved", int(choices), gold, 0, 1, None, None),)


def test_swapping_the_sides_swaps_lost_and_gained():
    there, back = flips(BEFORE, AFTER[1:]), flips(AFTER[1:], BEFORE)
    assert (there.lost, there.gained) == (back.gained, back.lost) == (0, 1)
    assert there.margin_changes == {name: -change for name, change in back.margin_changes.items()}


def test_a_variant_against_itself_flips_nothing():
    assert flips(BEFORE, BEFORE) == Flips(5, 0, 0, 0, dict.fromkeys("abcde", 0.0), 0)


def test_items_are_paired_by_id_whatever_their_order_and_the_rest_is_counted():
    found = flips(BEFORE, [*reversed(AFTER[1:]), *samples(("z", 0, 0, 1.0))])
    assert (found.items, found.lost, found.gained, found.unmatched) == (4, 0, 1, 2)


def test_items_without_choices_are_right_or_wrong_only():
    one, other = ([Sample("a", "a", {"correct": value})] for value in (1.0, 0.0))
    assert flips(one, other) == Flips(1, 1, 0, 0, {}, 0)
    assert flips(one, other).turned == (Turned("a", "a", "lost", None, None, None, None, None, None),)
    assert flips(other, other).moved == 0


def test_answers_per_byte_have_flips_of_their_own():
    def side(correct, choice):
        both = {"correct": 1.0, "choice": 0.0, "margin": 1.0}
        return [
            Sample("a", "a", both | {"correct_per_byte": correct, "choice_per_byte": choice, "margin_per_byte": -0.1})
        ]

    assert flips(side(1.0, 0.0), side(0.0, 1.0)).lost == 0
    assert flips(side(1.0, 0.0), side(0.0, 1.0), per_byte=True).lost == 1


def test_what_cannot_be_paired_is_refused():
    with pytest.raises(ValueError, match="sample p has no 'correct': it is not of an item that is right or wrong"):
        flips([Sample("p", "p", {"nats": 1.0})], BEFORE)
    with pytest.raises(ValueError, match="two samples have the id a"):
        flips([*BEFORE, BEFORE[0]], AFTER)
