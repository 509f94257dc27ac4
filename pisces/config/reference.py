"""docs/reference/parameters.md, made from the schema and the shipped defaults."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen, MultipleOf
from pydantic import AfterValidator, PlainValidator
from pydantic.fields import FieldInfo

from pisces.config.fields import Section, Unit
from pisces.config.presets import DEFAULT, PRESETS
from pisces.config.schema import Params
from pisces.core import yaml

PAGE = Path("docs/reference/parameters.md")
HEAD = """# Parameters

Every key of `params.yaml`: what it may be, what it means, and its default.
Made by `python -m pisces docs`; the meaning of a key stands in `pisces/config/sections/`.
"""
COLUMNS = ("key", "type", "range", "unit", "meaning", "default")
UNITS = {"_db": "dB", "_px": "pixels", "_percent": "%"}
"""Ending of a key -> its unit."""
TYPES = {bool: "true or false", int: "whole number", float: "number", str: "text"}
LONGEST_DEFAULT = 40


def page() -> str:
    """The whole page, as Markdown."""
    defaults = yaml.read(PRESETS / f"{DEFAULT}.yaml")
    parts = [HEAD]
    for name, field in Params.model_fields.items():
        section = section_of(field.annotation)
        if section is None:
            raise TypeError(f"{name} is no section")
        parts.append(f"\n## {name}\n\n{_one_line(section.__doc__)}\n\n")
        parts.append(_row(COLUMNS) + _row(["---"] * len(COLUMNS)))
        parts += [_row(cells) for cells in _rows(section, defaults[name], "")]
    return "".join(parts)


def _rows(section: type[Section], defaults: Any, prefix: str) -> Iterator[list[str]]:
    """The rows of a section, and of those within it."""
    for name, field in section.model_fields.items():
        default = defaults.get(name) if isinstance(defaults, Mapping) else None
        inner = section_of(field.annotation)
        key = f"{prefix}{name}"
        yield [
            f"`{key}`",
            _type(field.annotation),
            ", ".join(_ranges(field)),
            _unit(name, field),
            _one_line(field.description),
            "" if inner and default is not None else _default(default),
        ]
        if inner:
            yield from _rows(inner, default, f"{key}.")


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a key holds, None for a value."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


def _type(annotation: Any) -> str:
    """The type of a value, in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "null"
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"list of {_type(inner[0])}"
        return f"{len(inner)} values: {_type(inner[0])}"
    if origin is dict:
        return f"mapping of {_type(inner[0])} to {_type(inner[1])}"
    if origin is Union or (hasattr(annotation, "__or__") and origin is not None and inner):
        members = [one for one in inner if isinstance(one, type) or get_origin(one)]
        return " or ".join(_type(one) for one in members)
    if hasattr(annotation, "__metadata__"):
        return _type(annotation.__origin__)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "mapping"
    return TYPES[annotation]


def _ranges(field: FieldInfo) -> Iterator[str]:
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
            yield _one_line(one.func.__doc__)


def _metadata(field: FieldInfo) -> Iterator[Any]:
    """Constraints of a key, and of the values in its list, each once."""
    yield from field.metadata
    yield from dict.fromkeys(_inner_metadata(field.annotation))


def _inner_metadata(annotation: Any) -> Iterator[Any]:
    for one in get_args(annotation):
        for constraint in getattr(one, "__metadata__", ()):
            yield from constraint.metadata if isinstance(constraint, FieldInfo) else [constraint]
        yield from _inner_metadata(one) if get_args(one) else ()


def _unit(name: str, field: FieldInfo) -> str:
    named = [one.name for one in _metadata(field) if isinstance(one, Unit)]
    if named:
        return named[0]
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")


def _default(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value
    if isinstance(value, list) and len(text) > LONGEST_DEFAULT:
        return f"{len(value)} values, `{value[0]}` to `{value[-1]}`"
    return f"`{text}`"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |\n"
