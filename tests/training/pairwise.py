"""Few combinations instead of all: any two values meet, and what goes wrong mostly takes two."""

from collections.abc import Callable, Sequence
from itertools import combinations, product
from typing import Any

Combination = tuple[Any, ...]


def pairs(combination: Combination) -> set[tuple]:
    """All pairs of values in a combination, each value with the number of its axis."""
    return set(combinations(enumerate(combination), 2))


def cover(
    *axes: Sequence[Any], allowed: Callable[..., bool] = lambda *_: True
) -> list[Combination]:
    """Combinations, a value of each axis, that hold every pair which an allowed one holds.

    Greedy: always the first of those that bring most of the missing pairs. The same every time.

    Args:
        axes: values of each.
        allowed: whether a combination, given as arguments, may be taken.

    Returns:
        Allowed combinations, in the order in which they were found.
    """
    candidates = [one for one in product(*axes) if allowed(*one)]
    missing = set().union(*map(pairs, candidates))
    found = []
    while missing:
        best = max(candidates, key=lambda one: len(pairs(one) & missing))
        found.append(best)
        missing -= pairs(best)
    return found
