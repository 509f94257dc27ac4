"""params.yaml, read and checked; every mistake becomes a line with key, value and remedy."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from pisces.config.fields import Section, suggestion
from pisces.config.schema import Params
from pisces.core import yaml

PARAMS = Path("params.yaml")
LONGEST_VALUE = 80
"""Characters of a value in a message."""
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
        more = f" (and {len(others)} more such values)" if others else ""
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
    if error["type"] == "missing":
        return (
            f"{where} is missing; copy it from presets/default.yaml, "
            "or, where that has null, see docs/reference/parameters.md"
        )

    sentence = error["msg"].removeprefix("Value error, ")
    if error["type"] != "value_error":
        sentence = sentence[0].lower() + sentence[1:]
        for said, meant in YAML_WORDS.items():
            sentence = sentence.replace(said, meant)

    # The message of a whole section names its keys and values itself.
    if isinstance(error["input"], dict):
        return f"{where}: {sentence}" if where else sentence
    return f"{where} = {json.dumps(error['input'])[:LONGEST_VALUE]}: {sentence}"


def _section(keys: Sequence[int | str]) -> type[Section]:
    """The section that the keys lead to."""
    section: type[Section] = Params
    for key in keys:
        section = _section_in(section.model_fields[str(key)].annotation)
    return section


def _section_in(annotation: Any) -> type[Section]:
    """The section itself; of a union, such as one with None, the member that is a section."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    raise TypeError(f"{annotation} holds no section")
