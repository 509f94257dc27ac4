"""docs/reference/parameters.md, made from the schema and the shipped defaults."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pisces.config.fields import Section
from pisces.config.keys import key_of, one_line, ranges_of, section_of, type_of, unit_of
from pisces.config.presets import DEFAULT, PRESETS
from pisces.config.schema import Params
from pisces.core import yaml

PAGE = Path("docs/reference/parameters.md")
HEAD = """# Parameters

Every key of `params.yaml`: what it may be, what it means, and its default.
Made by `python -m pisces docs`; the meaning of a key stands in `pisces/config/sections/`.
"""
COLUMNS = ("key", "type", "range", "unit", "meaning", "default")
LONGEST_DEFAULT = 40


def page() -> str:
    """The whole page, as Markdown."""
    defaults = yaml.read(PRESETS / f"{DEFAULT}.yaml")
    parts = [HEAD]
    for name, field in Params.model_fields.items():
        section = section_of(field.annotation)
        if section is None:
            raise TypeError(f"{name} is no section")
        parts.append(f"\n## {name}\n\n{one_line(section.__doc__)}\n\n")
        parts.append(table(section, defaults[name]))
    return "".join(parts)


def table(section: type[Section], defaults: Mapping[str, Any]) -> str:
    """The keys of a section, those of sections within it included, as a table of Markdown."""
    head = _row(COLUMNS) + _row(["---"] * len(COLUMNS))
    return head + "".join(_row(cells) for cells in _rows(section, defaults, ""))


def _rows(section: type[Section], defaults: Any, prefix: str) -> Iterator[list[str]]:
    """The rows of a section, and of those within it."""
    for name, field in section.model_fields.items():
        default = defaults.get(key_of(name, field)) if isinstance(defaults, Mapping) else None
        inner = section_of(field.annotation)
        key = f"{prefix}{key_of(name, field)}"
        yield [
            f"`{key}`",
            type_of(field.annotation),
            ", ".join(ranges_of(field)),
            unit_of(name, field),
            one_line(field.description),
            "" if inner and default is not None else _default(default),
        ]
        if inner:
            yield from _rows(inner, default, f"{key}.")


def _default(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value
    if isinstance(value, list) and len(text) > LONGEST_DEFAULT:
        return f"{len(value)} values, `{value[0]}` to `{value[-1]}`"
    return f"`{text}`"


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |\n"
