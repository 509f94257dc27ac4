"""What a model is given of a frame, one module a kind of input: only they know which kind it is.

A further kind is a class like `inputs.base.Input` and one line in `INPUTS`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pisces.inputs.base import Input

INPUTS = {
    "constellation": "pisces.inputs.drawing:Drawing",
    "iq": "pisces.inputs.waveform:Waveform",
}
"""Name, as in `train.input` and the card of a model -> module and class, imported when needed."""


def kind_of(name: str) -> "type[Input]":
    """The class of the input `name`.

    Raises:
        ValueError: when there is no such input.
    """
    if name not in INPUTS:
        raise ValueError(f"input {name!r} is unknown; there are {', '.join(INPUTS)}")
    module, _, class_name = INPUTS[name].partition(":")
    return getattr(import_module(module), class_name)
