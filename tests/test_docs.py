"""What the docs say can be done: links lead somewhere, commands exist, worked examples run."""

import argparse
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pisces.__main__ import parser
from pisces.inputs.views import VIEWS
from pisces.models.baselines import BASELINES
from pisces.pis.masks import FAMILIES
from pisces.sources.recordings import FORMATS
from pisces.sources.sharding import READERS
from pisces.training.losses import SNR_LOSSES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXTENDING = ROOT / "docs" / "guide" / "extending"
EXAMPLES = sorted(page for page in EXTENDING.glob("*.md") if page.stem != "README")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page):
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_presets_that_the_docs_name_are_there():
    text = "\n".join(page.read_text() for page in PAGES)
    named = re.findall(r"PRESET=(\w+)", text) + re.findall(r"pisces preset (\w+)", text)
    presets = {path.stem for path in (ROOT / "presets").glob("*.yaml")}
    assert len(named) > 5
    assert set(named) <= presets


def test_benchmarks_that_the_docs_name_are_there():
    text = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"python -m benchmarks\.(\w+)", text))
    assert len(named) > 3
    assert [name for name in named if not (ROOT / "benchmarks" / f"{name}.py").is_file()] == []


def test_commands_that_the_docs_name_are_there():
    text = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"python -m pisces ([a-z-]+)", text))
    known = re.search(r"\{([a-z,-]+)\}", parser().format_usage())[1].split(",")
    assert len(named) > 5
    assert named - set(known) == set()


def commands(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Those below a parser, and below them."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield inner
                yield from commands(inner)


def test_the_help_of_each_command_says_what_it_does():
    without = [one.prog for one in commands(parser()) if not one.description]
    assert len(list(commands(parser()))) > 10
    assert without == []


def test_make_targets_that_the_docs_name_are_there():
    text = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", text, re.MULTILINE))
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(named) > 3
    assert named - set(targets) == set()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_code_that_a_page_names_is_there(page):
    """Files and folders by their paths, modules by their imports."""
    text = page.read_text()
    paths = re.findall(r"\b(?:pisces|stages|tests|benchmarks)/[\w/]*\w(?:\.py)?", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []

    modules = set(
        re.findall(r"^ *from ((?:pisces|stages|benchmarks)[\w.]*) import", text, re.MULTILINE)
    )
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs/results").glob("*.md")), ids=page_name)
def test_results_have_a_date(page):
    """In the text or in the line that a benchmark writes; see `benchmarks.timing`."""
    assert re.search(r"\b20\d\d-\d\d-\d\d\b", page.read_text())


@pytest.fixture
def _registries():
    """Takes back what an example registers."""
    registries = (VIEWS, FAMILIES, BASELINES, READERS, SNR_LOSSES)
    kept = [dict(registry) for registry in registries]
    formats = list(FORMATS)
    yield
    FORMATS[:] = formats
    for registry, before in zip(registries, kept, strict=True):
        registry.clear()
        registry.update(before)


@pytest.mark.parametrize("page", EXAMPLES, ids=page_name)
@pytest.mark.usefixtures("_registries")
def test_worked_examples_run(page, tmp_path, monkeypatch):
    """All blocks of a page, one after the other, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(page.read_text())
    assert blocks, f"{page_name(page)} shows no ```python block"
    exec(compile("\n".join(blocks), page_name(page), "exec"), {"__name__": "example"})


@pytest.mark.parametrize("page", [*EXAMPLES, EXTENDING / "README.md"], ids=page_name)
def test_sentences_are_short(page):
    """Tables, code and headings aside."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    prose = [line for line in text.splitlines() if not line.startswith(("|", "#"))]
    sentences = re.split(r"(?<=[.:!?])\s|\n\n|\n\d\. ", "\n".join(prose))
    assert [one for one in sentences if len(one.split()) > 25] == []
