"""Fields of JSON that others wrote, each checked where it is taken."""

import json
import math
import reprlib
from dataclasses import dataclass
from typing import Any

DEEPEST = 100
"""Levels of objects in objects; a description has five or so."""


@dataclass(frozen=True)
class Fields:
    """An object of a JSON file."""

    content: dict[str, Any]
    where: str
    """It stands, for messages: the file and the place in it."""

    def integer(self, key: str, default: int, least: int = 0) -> int:
        """A whole number, `least` or more; 3.0 is one, too."""
        value = self.content.get(key)
        if value is None:
            return default
        is_whole = _is_number(value) and float(value).is_integer()
        if not is_whole or value < least:
            raise self._wrong(key, f"a whole number, {least} or more")
        return int(value)

    def number(self, key: str) -> float | None:
        """A finite number; None where there is none."""
        value = self.content.get(key)
        if value is None:
            return None
        if not _is_number(value):
            raise self._wrong(key, "a finite number")
        return float(value)

    def positive(self, key: str) -> float | None:
        """A finite number above 0; None where there is none."""
        value = self.number(key)
        if value is not None and value <= 0:
            raise self._wrong(key, "a number above 0")
        return value

    def text(self, key: str) -> str | None:
        """A text; None where there is none."""
        value = self.content.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "a text")
        return value

    def items(self, key: str, most: int) -> list["Fields"]:
        """A list of objects, at most so many; empty where there is none."""
        value = self.content.get(key, [])
        if not isinstance(value, list):
            raise self._wrong(key, "a list")
        if len(value) > most:
            raise ValueError(
                f"{self.where} has {len(value)} {key}; at most {most} are read: split the recording"
            )
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise ValueError(f"{self.where}: {key}[{index}] is no object")
        return [Fields(item, f"{self.where}: {key}[{i}]") for i, item in enumerate(value)]

    def _wrong(self, key: str, required: str) -> ValueError:
        shown = reprlib.repr(self.content[key])
        return ValueError(f"{self.where}: {key} is {shown}; it must be {required}")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def parsed(text: bytes, where: str) -> Fields:
    """The object that JSON holds.

    Raises:
        ValueError: naming `where`, when it is not JSON or no object.
    """
    try:
        content = json.loads(text.decode("utf-8-sig"), parse_constant=_refused)
    except RecursionError:
        raise ValueError(f"{where} is not JSON: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{where} is not JSON: {error}; copy it again or mend it") from None
    if not isinstance(content, dict):
        raise ValueError(f"{where} holds no JSON object")
    if _is_deep(content):
        raise ValueError(f"{where} is nested more than {DEEPEST} levels deep: mend it")
    return Fields(content, where)


def _refused(name: str) -> float:
    raise ValueError(f"it holds {name}, which JSON does not know")


def _is_deep(content: Any) -> bool:
    """Whether objects and lists lie in each other more than `DEEPEST` levels deep."""
    level = [content]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for one in level:
            values = one.values() if isinstance(one, dict) else one
            inner += [value for value in values if isinstance(value, dict | list)]
        if not inner:
            return False
        level = inner
    return True
