"""What `--help` says of a command: the first line of its docstring."""

from collections.abc import Callable
from typing import Any


def texts_of(command: Callable[..., Any]) -> dict[str, Any]:
    """Options of `add_parser`: what stands in the list of commands, and above a command's own help.

    Args:
        command: a function, whose docstring says what it does.

    Returns:
        Keyword -> text.
    """
    line = (command.__doc__ or "").partition("\n")[0]
    return {"help": line, "description": line}
