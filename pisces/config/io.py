"""params.yaml, read and checked; every mistake becomes a line with key, value and remedy."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from pisces.config import nearest
from pisces.config.fields import Section
from pisces.config.keys import described, inner_section, key_of
from pisces.config.schema import Params
from pisces.core import yaml
from pisces.core.texts import counted

S = TypeVar("S", bound=Section)

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
    return parse(Params, content, source)


def parse(kind: type[S], content: Mapping[str, Any], source: str) -> S:
    """Checks the content of a file.

    Args:
        kind: what the file holds, such as `Params`.
        content: of the file.
        source: where it was read from, for messages.

    Returns:
        The content as `kind`.

    Raises:
        ValueError: naming the source, each wrong key and value, and what is allowed.
    """
    try:
        # Through JSON: strict, yet a YAML list is a tuple, and what JSON lacks is a text.
        return kind.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        lines = [f"{source}: {mistake}" for mistake in _mistakes(error, kind)]
        raise ValueError("\n".join(lines)) from None


def _mistakes(error: ValidationError, root: type[Section]) -> list[str]:
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
        lines.append(_explain(first, root) + more)
    return lines


def _is_echo(error: Mapping[str, Any]) -> bool:
    """Whether a list is too short only without its wrong values, which have lines of their own."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _explain(error: Mapping[str, Any], root: type[Section]) -> str:
    """One line for one pydantic error: which key, what stands there, what is allowed."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        known = nearest.described_keys(_section(error["loc"][:-1], root))
        close = nearest.likely(name, known)
        if not close and root is Params:
            close = nearest.likely(name, nearest.every_param())
        return f"unknown key {where}{nearest.question(close)}; allowed here are {', '.join(known)}"

    is_of_list = bool(error["loc"]) and isinstance(error["loc"][-1], int)
    if error["type"] == "missing" and is_of_list:
        return _wanted(error["loc"][:-1], error["input"], root)
    if error["type"] == "missing":
        remedy = _source_of(where) if root is Params else "write it"
        return f"{where} is missing; {remedy}; it takes {_described(error['loc'], root)}"
    if error["type"] in OTHER_KINDS and not is_of_list:
        return _wanted(error["loc"], error["input"], root)

    sentence = error["msg"].removeprefix("Value error, ")
    if error["type"] != "value_error":
        sentence = sentence[0].lower() + sentence[1:]
        for said, meant in YAML_WORDS.items():
            sentence = sentence.replace(said, meant)

    # The message of a whole section names its keys and values itself.
    if isinstance(error["input"], dict):
        return f"{where}: {sentence}" if where else sentence
    return f"{_value_at(where, error['input'])}: {sentence}"


def _wanted(keys: Sequence[int | str], value: Any, root: type[Section]) -> str:
    """What a key takes in place of a value of another kind, or of a list of another length.

    Args:
        keys: that lead to it.
        value: what stands there.
        root: the section that the first key is in.

    Returns:
        One line.
    """
    where = ".".join(str(part) for part in keys)
    takes = _described(keys, root)
    if isinstance(value, list) and not takes.startswith("a mapping"):
        count = counted(len(value), "value")
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


def _described(keys: Sequence[int | str], root: type[Section]) -> str:
    """What a key takes, in words."""
    *sections, name = keys
    fields = _section(sections, root).model_fields
    by_key = {key_of(one, field): field for one, field in fields.items()}
    # A key that a file may choose, such as that of a param, takes what its mapping holds.
    return described(str(name), by_key[str(name)]) if str(name) in by_key else "a mapping"


def _section(keys: Sequence[int | str], root: type[Section]) -> type[Section]:
    """The section that the keys lead to."""
    section: type[Section] = root
    for key in keys:
        inner = inner_section(section, str(key))
        if inner is not None:
            section = inner
    return section
