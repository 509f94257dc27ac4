"""Frozen dataclasses of settings as JSON, for attributes of shards and the card of a model."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

LONGEST_VALUE = 80
"""Characters of a value in a message."""
MISSING = ("missing", "missing_argument")
UNKNOWN = ("extra_forbidden", "unexpected_property", "unexpected_keyword_argument")
"""What pydantic calls such mistakes, in dataclasses and in named tuples."""


def to_json(settings: Any) -> str:
    """Compact JSON of a dataclass, nested ones included."""
    return json.dumps(asdict(settings), separators=(",", ":"))


def from_json(kind: type[T], text: str) -> T:
    """The dataclass `kind` that `to_json` wrote.

    Raises:
        ValueError: naming each field that is missing, unknown or of another type.
    """
    try:
        # Strict, yet a list becomes a tuple.
        return TypeAdapter(kind).validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        mistakes = [_explain(dict(one)) for one in error.errors()]
        raise ValueError("; ".join(mistakes)) from None


def _explain(error: Mapping[str, Any]) -> str:
    """One mistake in words: which field, what stands there, what is allowed."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] in MISSING:
        return f"{where} is missing"
    if error["type"] in UNKNOWN:
        return f"{where} is unknown"
    sentence = error["msg"][0].lower() + error["msg"][1:]
    if not where:
        return sentence
    value = json.dumps(error["input"], default=repr)
    return f"{where} = {value[:LONGEST_VALUE]}: {sentence}"
