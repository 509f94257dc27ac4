"""Presets: what each changes of the shipped defaults, and params.yaml written afresh from them.

`presets/default.yaml` is the one place of the defaults; every other preset names only what differs.
"""

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from pisces.config.fields import suggestion
from pisces.config.io import PARAMS, parse_params
from pisces.config.sections.data import GENERATED_FILES
from pisces.core import yaml
from pisces.core.files import staged

PRESETS = Path("presets")
DEFAULT = "default"


class Edit(NamedTuple):
    """A value of params.yaml that is neither a default nor a preset's."""

    key: str
    value: Any
    becomes: Any

    def __str__(self) -> str:
        return f"{self.key}: {_written(self.value)} -> {_written(self.becomes)}"


def names() -> list[str]:
    """The presets there are, the defaults among them."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def overlay(name: str) -> dict[str, Any]:
    """What a preset changes: section -> key -> value, empty for the defaults themselves.

    Raises:
        ValueError: when there is no such preset, or it is not valid YAML.
        FileNotFoundError: when there are no presets at all.
    """
    if not names():
        raise FileNotFoundError(f"{PRESETS} does not exist; run from the root of the repository")
    if name not in names():
        # Also of its file: presets/smoke.yaml.
        close = suggestion(Path(name).stem, names())
        raise ValueError(f"preset {name!r} is unknown{close}; there are {', '.join(names())}")
    return {} if name == DEFAULT else yaml.read(PRESETS / f"{name}.yaml")


def merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a params file with an overlay applied; mappings are merged key by key."""
    result = dict(content)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            result[key] = merged(old, value)
        else:
            result[key] = value
    return result


def on_defaults(changes: Mapping[str, Any], source: str = "the overlay") -> dict[str, Any]:
    """The shipped defaults with an overlay applied, checked; `source` is where it comes from.

    Raises:
        ValueError: when the result is not valid, naming each wrong key.
    """
    content = merged(yaml.read(PRESETS / f"{DEFAULT}.yaml"), changes)
    parse_params(content, source)
    return content


def chosen(name: str, data: str | None, current: Mapping[str, Any]) -> dict[str, Any]:
    """What params.yaml becomes with a preset.

    Args:
        name: the preset.
        data: the path of the user's data file; None for the one that stands in `current`, or,
            where that is a generated file, the one that the preset names.
        current: the content of params.yaml as it is.

    Returns:
        The content of the new params.yaml.

    Raises:
        ValueError: when there is no such preset, or the result is not valid.
    """
    changes = overlay(name)
    kept = _own_data(current)
    path = data or kept or changes.get("data", {}).get("path")
    if path:
        changes = merged(changes, {"data": {"path": path}})
    return on_defaults(changes, f"{PRESETS / name}.yaml")


def edits(current: Mapping[str, Any], becoming: Mapping[str, Any]) -> list[Edit]:
    """What the user changed by hand, or with `dvc exp apply`, and `becoming` would replace.

    That is what differs from the most similar preset, which is taken for the one last applied.
    """
    now, then = dict(leaves(current)), dict(leaves(becoming))
    candidates = [on_defaults(overlay(name)) for name in (DEFAULT, *names())]
    differences = [_differing(now, dict(leaves(one))) for one in candidates]
    changed = min(differences, key=len)
    if _own_data(current) is None:
        changed = [key for key in changed if key != "data.path"]
    return [
        Edit(key, now.get(key), then.get(key))
        for key in changed
        if key in now and _written(now[key]) != _written(then.get(key))
    ]


def write(content: Mapping[str, Any], path: Path = PARAMS, template: Path | None = None) -> None:
    """Writes a params file with the comments of another, and reads it back before it replaces one.

    Args:
        content: what the file shall hold.
        path: the file.
        template: the file whose order and comments it gets; None for that of the defaults.

    Raises:
        ValueError: when the content is not valid; the file is then unchanged.
    """
    parse_params(content, f"{path} with the overlay")
    text = _render(content, template or PRESETS / f"{DEFAULT}.yaml")
    if _written(yaml.parse(text)) != _written(content):
        raise AssertionError(f"{path} would not hold what was meant:\n{text}")
    with staged(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def apply_overlay(path: Path, changes: Mapping[str, Any]) -> None:
    """Changes some values of a params file in place, keeping its other values, comments and order.

    Raises:
        ValueError: when the result would not be valid; the file is then unchanged.
    """
    write(merged(yaml.read(path), changes), path, template=path)


def leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Full name and value of every key that is not itself a mapping."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _own_data(content: Mapping[str, Any]) -> str | None:
    """The path of the user's own data file, None when the frames are generated."""
    data = content.get("data")
    path = data.get("path") if isinstance(data, Mapping) else None
    return None if path is None or str(path) in GENERATED_FILES else str(path)


def _render(content: Mapping[str, Any], template: Path) -> str:
    """The text of a params file, in the style in which DVC writes one, so that `-S` keeps it."""
    editor = YAML()
    document = editor.load(template)
    _fill(document, content)
    text = io.StringIO()
    editor.dump(document, text)
    return text.getvalue()


def _fill(node: CommentedMap, content: Mapping[str, Any]) -> None:
    """Puts values into a document; those that are equal keep their spelling."""
    for key, value in content.items():
        old = node.get(key)
        is_mapping = isinstance(old, CommentedMap) and isinstance(value, Mapping)
        if is_mapping and old.keys() <= value.keys():
            _fill(old, value)
        elif key not in node or _written(old) != _written(value):
            node[key] = _in_one_line(value) if isinstance(value, Mapping) else value


def _in_one_line(values: Mapping[str, Any]) -> CommentedMap:
    mapping = CommentedMap(values)
    mapping.fa.set_flow_style()
    return mapping


def _differing(some: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Keys whose values differ, or that only one of the two has."""
    every = [*some, *(key for key in others if key not in some)]
    absent = object()
    return [key for key in every if repr(some.get(key, absent)) != repr(others.get(key, absent))]


def _written(value: Any) -> str:
    """JSON, in which 1 and 1.0 differ, and so do 1 and true."""
    return json.dumps(value, sort_keys=True, default=str)
