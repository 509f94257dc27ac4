"""YAML as DVC reads it: the core schema of YAML 1.2, no aliases, and no key twice.

PyYAML by itself follows YAML 1.1, where `1e-05` is a text, `no` is false, `010` is 8 and `1:30` is
90. Here a plain word is a text unless it is null, true, false or a number.
"""

import io
import re
from pathlib import Path
from typing import Any

import yaml

from pisces.core import way_back
from pisces.core.texts import in_one_line

CORE_SCHEMA = {
    "null": (r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    "bool": (r"(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    "int": (r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    "float": (
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
}
"""Tag -> pattern and first characters: YAML 1.2.2, section 10.3.2."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character of UTF-16, which no file can hold."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the core schema, which refuses aliases and repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(
                problem=f"alias *{event.anchor}: write the value out instead",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float):
                raise yaml.MarkedYAMLError(
                    problem=f"{key!r} cannot be a key; write a plain word",
                    problem_mark=key_node.start_mark,
                )
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} stands twice; remove one of them",
                    problem_mark=key_node.start_mark,
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and SURROGATE.search(value):
            raise yaml.MarkedYAMLError(
                problem=f"{value!a} has half a character; write the whole one without escapes",
                problem_mark=node.start_mark,
            )
        return value

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


_Loader.yaml_implicit_resolvers = {}  # of its own: those of its parent are of YAML 1.1
for _tag, (_pattern, _first) in CORE_SCHEMA.items():  # int before float: the first match counts
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


class _NamedText(io.StringIO):
    """A text whose `name` PyYAML puts into its messages, as it does with that of a file."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


def parse(text: str, name: str = "the text") -> Any:
    """The content of a YAML document; `name` is where it comes from, for messages.

    Raises:
        yaml.YAMLError: when it is not valid, has an alias, or a mapping has a key twice.
    """
    return yaml.load(_NamedText(text, name), _Loader)


def read(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is not valid YAML, is empty, or holds anything but a mapping.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; run from the root of the repository")
    try:
        content = parse(path.read_text(encoding="utf-8"), str(path))
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        # PyYAML lets through what its constructors raise for a value of the wrong explicit tag.
        reason = in_one_line(error)
        raise ValueError(f"{path} is not valid YAML: {reason}; {_remedy(path)}") from None
    if content is None:
        raise ValueError(f"{path} is empty; {_remedy(path)}")
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise ValueError(f"{path} must hold sections with keys, not {kind}; {_remedy(path)}")
    return content


def _remedy(path: Path) -> str:
    has_params = path.name == "params.yaml" or path.parent.name == "presets"
    example = " (presets/default.yaml shows how)" if has_params else ""
    return ", or ".join([f"correct it{example}", *way_back.advice(path)])
