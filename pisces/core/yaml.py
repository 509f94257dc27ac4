"""YAML as DVC writes it: numbers by YAML 1.2, so that `1e-05` is one, no aliases, and no key twice."""

import re
from pathlib import Path
from typing import Any

import yaml

FLOAT = re.compile(
    r"""[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$
      |[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$""",
    re.VERBOSE,
)
"""YAML 1.2, section 10.3.2; PyYAML's own, of YAML 1.1, takes `1e-05` for a text."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the floats of YAML 1.2, which refuses aliases and repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(
                problem=f"alias *{event.anchor}: write the value out instead",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} stands twice; remove one of them",
                    problem_mark=key_node.start_mark,
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))


def parse(text: str) -> Any:
    """The content of a YAML document.

    Raises:
        yaml.YAMLError: when it is not valid, has an alias, or a mapping has a key twice.
    """
    return yaml.load(text, _Loader)


def read(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is not valid YAML, or holds anything but a mapping.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; run from the root of the repository")
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold sections with keys, not {type(content).__name__}")
    return content
