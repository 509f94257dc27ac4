"""The examples in the docstrings of the entry points are there, and say what happens."""

import doctest
from importlib import import_module
from typing import Any

import pytest

ENTRY_POINTS = (
    "pisces.core.modulations:constellation",
    "pisces.inputs.views:symbols_of",
    "pisces.inputs.drawing:Drawing",
    "pisces.evaluation.inference:predict_iq",
    "pisces.pis.masks:take",
    "pisces.pis.score:measure",
    "pisces.pis.tables:table",
    "pisces.attribution.methods:attribute",
)


def example_of(entry_point: str) -> tuple[str, dict[str, Any]]:
    """The docstring of an entry point, and the names that its module knows."""
    module_name, _, name = entry_point.partition(":")
    names = vars(import_module(module_name))
    return names[name].__doc__, dict(names)


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_an_example_runs(entry_point):
    text, names = example_of(entry_point)
    example = doctest.DocTestParser().get_doctest(text, names, entry_point, None, None)
    shown = [one for one in example.examples if one.want]
    assert shown, f"{entry_point} has no >>> example with a result; give its docstring one"

    said: list[str] = []
    result = doctest.DocTestRunner().run(example, out=said.append)
    assert result.failed == 0, "".join(said)


def test_an_example_that_says_something_else_is_found():
    example = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner().run(example, out=lambda _: None).failed == 1
