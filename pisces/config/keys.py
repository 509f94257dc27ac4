"""What a key of params.yaml holds, in words: its type, range and unit, from the schema."""

from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen, MultipleOf
from pydantic import AfterValidator, PlainValidator
from pydantic.fields import FieldInfo

from pisces.config.fields import Section, Unit

MOST_KEYS = 10
"""Of a section that a message names one by one."""
UNITS = {"_db": "dB", "_px": "pixels", "_percent": "%"}
"""Ending of a key -> its unit."""
TYPES = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def described(name: str, field: FieldInfo) -> str:
    """What a key takes, and what it means; of a section which keys it has.

    Args:
        name: of the key, whose ending may be a unit.
        field: of the schema.

    Returns:
        Such as "2 values: number, >= 0, <= 1, low, then high (over the direct path)".
    """
    section = None if get_origin(field.annotation) is dict else section_of(field.annotation)
    if section is None:
        holds = ", ".join([type_of(field.annotation), *ranges_of(field)])
    elif len(section.model_fields) <= MOST_KEYS:
        keys = (key_of(one, inner) for one, inner in section.model_fields.items())
        holds = f"a mapping of {', '.join(keys)}"
    else:
        holds = f"a mapping of {len(section.model_fields)} keys"
    unit = unit_of(name, field)
    meaning = one_line(field.description or (section.__doc__ if section else "")).rstrip(".")
    return f"{holds}{f', in {unit}' if unit else ''}{f' ({meaning})' if meaning else ''}"


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a key holds, None for a value."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


def key_of(name: str, field: FieldInfo) -> str:
    """What a field is called in the file: `from` is no name in Python."""
    return field.alias or name


def inner_section(section: type[Section], key: str) -> type[Section] | None:
    """The section that a key of another leads to; None for one that the file may choose."""
    for name, field in section.model_fields.items():
        if key_of(name, field) == key:
            return section_of(field.annotation)
    return None


def type_of(annotation: Any) -> str:
    """The type of a value, in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "null"
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"list of {type_of(inner[0])}"
        return f"{len(inner)} values: {type_of(inner[0])}"
    if origin is dict:
        return f"mapping of {type_of(inner[0])} to {type_of(inner[1])}"
    if annotation is Any:
        return "any value"
    if origin is Union or (hasattr(annotation, "__or__") and origin is not None and inner):
        members = [one for one in inner if isinstance(one, type) or get_origin(one)]
        return " or ".join(type_of(one) for one in members)
    if hasattr(annotation, "__metadata__"):
        return type_of(annotation.__origin__)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "mapping"
    return TYPES[annotation]


def ranges_of(field: FieldInfo) -> Iterator[str]:
    """What a value must satisfy, in words."""
    for one in _metadata(field):
        if isinstance(one, Gt):
            yield f"> {one.gt:g}"
        elif isinstance(one, Ge):
            yield f">= {one.ge:g}"
        elif isinstance(one, Lt):
            yield f"< {one.lt:g}"
        elif isinstance(one, Le):
            yield f"<= {one.le:g}"
        elif isinstance(one, MultipleOf):
            yield f"multiple of {one.multiple_of:g}"
        elif isinstance(one, MinLen) and "str" not in str(field.annotation):
            yield f"{one.min_length} or more"
        elif isinstance(one, AfterValidator | PlainValidator):
            yield one_line(one.func.__doc__)


def _metadata(field: FieldInfo) -> Iterator[Any]:
    """Constraints of a key, and of the values in its list, each once."""
    yield from field.metadata
    yield from dict.fromkeys(_inner_metadata(field.annotation))


def _inner_metadata(annotation: Any) -> Iterator[Any]:
    for one in get_args(annotation):
        for constraint in getattr(one, "__metadata__", ()):
            yield from constraint.metadata if isinstance(constraint, FieldInfo) else [constraint]
        yield from _inner_metadata(one) if get_args(one) else ()


def unit_of(name: str, field: FieldInfo) -> str:
    named = [one.name for one in _metadata(field) if isinstance(one, Unit)]
    if named:
        return named[0]
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")


def one_line(text: str | None) -> str:
    return " ".join((text or "").split())
