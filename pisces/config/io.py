"""params.yaml, read and checked; every mistake becomes a line with key, value and remedy."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pisces.config.fields import Section, suggestion
from pisces.config.keys import described, section_of
from pisces.config.schema import Params
from pisces.core import yaml

PARAMS = Path("params.yaml")
DEFAULTS = Path("presets/default.yaml")
LONGEST_VALUE = 80
"""Characters of a value in a message."""
OTHER_KINDS = ("tuple_type", "list_type", "dict_type", "model_type", "too_long")
"""Types of errors of a value that is no list, no mapping, or a list of too many values."""
YAML_WORDS = {
    "tuple": "list",
    "valid array": "list",
    "an object": "a mapping",
    " after validation": "",
}
"""What pydantic says -> what whoever edits a YAML file calls it."""


def load_params(path: Path = PARAMS) -> Params:
    """Reads and checks a whole params.yaml.

    Raises:
        ValueError: naming the file, each wrong key and value, and what is allowed.
        FileNotFoundError: when there is no such file.
    """
    return parse_params(yaml.read(path), str(path))


def parse_params(content: Mapping[str, Any], source: str) -> Params:
    """Checks the content of a params file that was read from `source`; see `load_params`."""
    try:
        # Through JSON: strict, yet a YAML list is a tuple, and what JSON lacks is a text.
        return Params.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        lines = [f"{source}: {mistake}" for mistake in _mistakes(error)]
        raise ValueError("\n".join(lines)) from None


def _mistakes(error: ValidationError) -> list[str]:
    """A line for each mistake; of each list only the first, and how many more there are."""
    by_place: dict[tuple[int | str, ...], list[Mapping[str, Any]]] = {}
    for details in error.errors(include_url=False):
        one: dict[str, Any] = dict(details)
        keys = details["loc"]
        in_a_list = bool(keys) and isinstance(keys[-1], int)
        if not _is_echo(one):
            by_place.setdefault(keys[:-1] if in_a_list else keys, []).append(one)

    lines = []
    for first, *others in by_place.values():
        is_short = first["type"] == "missing"
        more = f" (and {len(others)} more such values)" if others and not is_short else ""
        lines.append(_explain(first) + more)
    return lines


def _is_echo(error: Mapping[str, Any]) -> bool:
    """Whether a list is too short only without its wrong values, which have lines of their own."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _explain(error: Mapping[str, Any]) -> str:
    """One line for one pydantic error: which key, what stands there, what is allowed."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = tuple(_section(error["loc"][:-1]).model_fields)
        close = suggestion(str(error["loc"][-1]), known)
        return f"unknown key {where}{close}; allowed here are {', '.join(known)}"

    is_of_list = bool(error["loc"]) and isinstance(error["loc"][-1], int)
    if error["type"] == "missing" and is_of_list:
        return _wanted(error["loc"][:-1], error["input"])
    if error["type"] == "missing":
        return f"{where} is missing; {_source_of(where)}; it takes {_described(error['loc'])}"
    if error["type"] in OTHER_KINDS and not is_of_list:
        return _wanted(error["loc"], error["input"])

    sentence = error["msg"].removeprefix("Value error, ")
    if error["type"] != "value_error":
        sentence = sentence[0].lower() + sentence[1:]
        for said, meant in YAML_WORDS.items():
            sentence = sentence.replace(said, meant)

    # The message of a whole section names its keys and values itself.
    if isinstance(error["input"], dict):
        return f"{where}: {sentence}" if where else sentence
    return f"{_value_at(where, error['input'])}: {sentence}"


def _wanted(keys: Sequence[int | str], value: Any) -> str:
    """What a key takes in place of a value of another kind, or of a list of another length."""
    where = ".".join(str(part) for part in keys)
    takes = _described(keys)
    if isinstance(value, list) and not takes.startswith("a mapping"):
        count = "1 value" if len(value) == 1 else f"{len(value)} values"
        return f"{_value_at(where, value)}: it has {count} and takes {takes}"
    return f"{_value_at(where, value)}: it takes {takes}"


def _value_at(where: str, value: Any) -> str:
    return f"{where} = {json.dumps(value)[:LONGEST_VALUE]}"


def _source_of(where: str) -> str:
    """Where to take a missing key from: from the shipped defaults, unless they lack it, too."""
    shipped: Any = yaml.read(DEFAULTS) if DEFAULTS.exists() else None
    *sections, name = where.split(".")
    for section in sections:
        shipped = shipped.get(section) if isinstance(shipped, Mapping) else None
    lacks_it = DEFAULTS.exists() and not (isinstance(shipped, Mapping) and name in shipped)
    return f"write it, since {DEFAULTS} has none" if lacks_it else f"copy it from {DEFAULTS}"


def _described(keys: Sequence[int | str]) -> str:
    """What a key takes, in words."""
    *sections, name = keys
    return described(str(name), _section(sections).model_fields[str(name)])


def _section(keys: Sequence[int | str]) -> type[Section]:
    """The section that the keys lead to."""
    section: type[Section] = Params
    for key in keys:
        inner = section_of(section.model_fields[str(key)].annotation)
        if inner is None:
            raise TypeError(f"{key} is no section")
        section = inner
    return section
