"""Frozen dataclasses of settings as JSON, for attributes of shards and the card of a model."""

import json
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


def to_json(settings: Any) -> str:
    """Compact JSON of a dataclass, nested ones included."""
    return json.dumps(asdict(settings), separators=(",", ":"))


def from_json(kind: type[T], text: str) -> T:
    """The dataclass `kind` that `to_json` wrote.

    Raises:
        ValueError: when a field is missing, unknown or of another type.
    """
    try:
        # Strict, yet a list becomes a tuple.
        return TypeAdapter(kind).validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        raise ValueError(" ".join(str(error).split())) from None
