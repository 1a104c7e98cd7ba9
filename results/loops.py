"""Whether a text ends by repeating itself, as small and damaged models do."""

from __future__ import annotations

import re

TAIL = 2000
"""Characters at the end that are looked at."""
LEAST = 40
"""Characters that the repetition covers at least."""
TIMES = 3
"""How often it says the same at least."""


def ends_in_a_loop(text: str) -> bool:
    """Whether the end of ``text`` is one piece, with a letter in it, three times or more over 40 characters or more.

    Numbers that begin a line count as equal, so that a list whose items differ by them only is a loop; rules and tables
    without words are none.

    >>> ends_in_a_loop("Well. " + "I do not know. " * 4), ends_in_a_loop("I do not know. " * 2)
    (True, False)
    >>> ends_in_a_loop("\\n".join(f"{i}. 푹 쉬세요." for i in range(6))), ends_in_a_loop("-" * 80)
    (True, False)
    """
    tail = " ".join(re.sub(r"(?m)^\s*\d+[.)]", "0.", text[-TAIL:]).split())[::-1]
    # Knuth, Morris and Pratt: border[i] is the longest proper prefix of tail[:i + 1] that is its suffix as well, and
    # i + 1 - border[i] is the smallest period of tail[:i + 1]. The last piece may lack the space after it.
    border = [0] * len(tail)
    for i in range(1, len(tail)):
        k = border[i - 1]
        while k and tail[i] != tail[k]:
            k = border[k - 1]
        border[i] = k + (tail[i] == tail[k])
        size, period = i + 1, i + 1 - border[i]
        if size >= LEAST and size + 1 >= TIMES * period and any(map(str.isalpha, tail[:period])):
            return True
    return False
