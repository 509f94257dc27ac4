"""The walls of the house.

Which package may use which, who knows what kind of input it holds, and how long a module may be.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {path.parent.name for path in (ROOT / "pisces").glob("*/__init__.py")}

MAY_USE = {
    "core": "",
    "sources": "core",
    "inputs": "core",
    "acquisition": "core sources inputs",
    "data": "core inputs",
    "models": "core inputs data",
    "training": "core inputs data models",
    "evaluation": "core inputs data models",
    "prediction": "core sources inputs acquisition data models evaluation",
    "deploy": "core sources inputs data models evaluation prediction",
    "truth": "core inputs data models evaluation",
    "pis": "core sources inputs acquisition data models training evaluation prediction truth",
    "attribution": "core inputs data models training evaluation truth pis",
    "explorer": "core inputs data models evaluation truth pis attribution counterfactuals",
    "counterfactuals": "core inputs data models evaluation truth attribution",
    "report": "core inputs",
    "config": "core",
    "run": "core config",
    "experiments": "core inputs data models evaluation prediction config run",
    "commands": (
        "core sources inputs acquisition data models evaluation prediction deploy pis explorer "
        "report config run experiments"
    ),
}
"""Package -> those that it may import from, beside itself."""

LIGHT = {"pisces.inputs.INPUTS"} | {f"pisces.{package}.settings" for package in PACKAGES}
"""Beside `core`, what config may import: settings that the schema converts to, and names."""

SHELLS = {"config", "run"}
"""Packages that only the rooms with a command line may use: params reach the library as values."""

KINDS_OF_INPUT = re.compile(
    r"isinstance\([^)]*\b(Drawing|Waveform|BinStore|IqStore)\b"
    r'|"samples" in|(?<!self)\.spatial\b|\bsees_images\b'
)
"""What asks which kind of input it holds. A class may have a `spatial` of its own."""
CHOOSE_METHODS = {"stages/attribute.py", "stages/explore.py", "pisces/attribution/examples.py"}
"""Where methods are chosen that a model without a map of the constellation cannot have."""

MOST_LINES, MOST_COLUMNS = 400, 100


class Arrow(NamedTuple):
    """An import of something of pisces."""

    file: str
    """Path below the root."""
    target: str
    """Dotted name of a module, or of something in it."""

    @property
    def source(self) -> str:
        """Package of the file, or its name where it lies in none: `__main__`."""
        parts = Path(self.file).parts
        return parts[1] if len(parts) > 2 else Path(self.file).stem

    @property
    def package(self) -> str:
        """Package of the target; empty for pisces itself."""
        parts = self.target.split(".")
        return parts[1] if len(parts) > 1 else ""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(name: str) -> str:
    """Dotted name of a file."""
    return name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def nodes(tree: ast.AST, with_types: bool) -> Iterator[ast.AST]:
    """What a tree is made of; without what only a type checker reads, unless `with_types`."""
    for node in ast.iter_child_nodes(tree):
        if (
            isinstance(node, ast.If)
            and ast.unparse(node.test) == "TYPE_CHECKING"
            and not with_types
        ):
            continue
        yield node
        yield from nodes(node, with_types)


def imports(path: Path, with_types: bool) -> Iterator[str]:
    """Dotted names of what a file imports, wherever in it."""
    for node in nodes(ast.parse(path.read_text()), with_types):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(folder: str, with_types: bool = True) -> list[Arrow]:
    found = []
    for path in files(folder):
        found += [Arrow(name_of(path), name) for name in imports(path, with_types)]
    return [arrow for arrow in found if arrow.target.split(".")[0] == "pisces"]


def is_one_of(name: str, roots: Iterable[str]) -> bool:
    """Whether a dotted name is one of `roots`, or lies in one."""
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def test_every_package_is_in_the_table():
    assert MAY_USE.keys() == PACKAGES


def test_the_table_has_no_circle():
    used = {name: allowed.split() for name, allowed in MAY_USE.items()}
    TopologicalSorter(used).prepare()  # raises CycleError


@pytest.mark.parametrize("package", MAY_USE)
def test_a_package_uses_only_those_below_it(package):
    allowed = {package, *MAY_USE[package].split()}
    light = LIGHT if package == "config" else set()
    up = [
        arrow
        for arrow in arrows(f"pisces/{package}")
        if arrow.package in PACKAGES - allowed and not is_one_of(arrow.target, light)
    ]
    assert up == []


def test_the_library_has_no_params_and_no_console():
    """Stages convert params to what the library takes, so a new key makes no stage stale."""
    users = {arrow.source for arrow in arrows("pisces") if arrow.package in SHELLS}
    assert users <= SHELLS | {"__main__", "commands", "experiments"}


def test_modules_import_each_other_in_no_circle():
    modules = {module_of(name_of(path)) for path in files("pisces")}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for arrow in arrows("pisces", with_types=False):
        module, parent = module_of(arrow.file), arrow.target.rpartition(".")[0]
        used = arrow.target if arrow.target in modules else parent
        # What lies in a package may name the package.
        if used in modules and not is_one_of(module, [used]):
            graph[module].add(used)
    assert len(graph["pisces.inputs.drawing"]) > 3
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_only_the_inputs_know_which_kind_they_are():
    asking = set()
    for path in files("pisces", "stages"):
        inside = name_of(path).startswith("pisces/inputs/")
        if not inside and KINDS_OF_INPUT.search(path.read_text()):
            asking.add(name_of(path))
    assert asking == CHOOSE_METHODS


def test_modules_are_short():
    long = set()
    for path in files("pisces", "stages", "benchmarks"):
        if len(path.read_text().splitlines()) > MOST_LINES:
            long.add(name_of(path))
    assert long == set()


def test_lines_are_short():
    wide = set()
    for path in files("pisces", "stages", "benchmarks", "tests"):
        if any(len(line) > MOST_COLUMNS for line in path.read_text().splitlines()):
            wide.add(name_of(path))
    assert wide == set()
