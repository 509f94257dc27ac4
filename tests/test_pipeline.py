"""dvc.yaml says what the stages do, and one pass through all of them makes what it declares."""

import ast
import dataclasses
import importlib
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

from pisces.config.schema import Params
from tests.pipeline import (
    MADE_BY_THE_PIPELINE,
    ROOT,
    STAGES,
    Shell,
    change_params,
    copy_code,
    default_params,
    outputs,
    overlaid,
    smoke_params,
)

SCRIPTS = {stage: {"report_data": "report"}.get(stage, stage) for stage in STAGES}
"""Stage -> file in stages/, without its ending."""

NO_DEPENDENCY = {"run", "config"}
"""Folders of pisces/ that no stage lists: the first reaches no output; see the schema below."""

MOST_CODE_LINES = 93
"""In dvc.yaml, of dependencies on code."""
MOST_STAGE_LINES = 65
REMARKS = ("pulse_remark",)
"""Of `config.agreement`: what is said to the user of params as a whole."""
FOUND = {"render": {"response", "samples"}}
"""Section -> what a stage finds in the data: no params."""


def tree(stage: str) -> ast.Module:
    return ast.parse((ROOT / f"stages/{SCRIPTS[stage]}.py").read_text())


# Dependencies on code


@cache
def imported(path: str) -> frozenset[str]:
    """Files of pisces/ that a file imports, wherever in it the import stands."""
    modules = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import, which this test does not follow"
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}

    places = [name.replace(".", "/") for name in modules if name.split(".")[0] == "pisces"]
    candidates = {place + ending for place in places for ending in (".py", "/__init__.py")}
    files = {name for name in candidates if (ROOT / name).is_file()}
    return frozenset(name for name in files if Path(name).parts[1] not in NO_DEPENDENCY)


def needed(path: str) -> set[str]:
    """Files of pisces/ behind a file, itself left out."""
    found: set[str] = set()
    todo = set(imported(path))
    while todo:
        found |= todo
        todo = {name for one in todo for name in imported(one)} - found
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_folders_that_the_stage_uses(stage):
    script = f"stages/{SCRIPTS[stage]}.py"
    listed = [dep for dep in STAGES[stage]["deps"] if dep.startswith("pisces/")]
    # A folder counts with those below it.
    folders = {Path(*Path(name).parts[:2]) for name in needed(script) if "/" in name[7:]}
    assert sorted(listed) == sorted(map(str, folders))
    assert script in STAGES[stage]["deps"]


def test_deps_on_code_are_few():
    listed = [dep for entry in STAGES.values() for dep in entry["deps"]]
    code = [dep for dep in listed if dep.startswith(("pisces/", "stages/"))]
    assert len(code) <= MOST_CODE_LINES


# Params


def sections(section: Any) -> Iterator[Any]:
    """A section of the schema and those within it."""
    yield section
    for field in section.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and hasattr(kind, "model_fields"):
                yield from sections(kind)


def test_no_field_of_the_schema_has_a_default():
    """So every value comes from params.yaml, where DVC sees it, and never from pisces/config."""
    fields = [
        (section.__name__, name, field)
        for section in sections(Params)
        for name, field in section.model_fields.items()
    ]
    assert len(fields) > 100
    # What may be left out is null then, which is what is written where nothing is asked for.
    given = [field for _, _, field in fields if not field.is_required()]
    assert [field for field in given if field.get_default() is not None] == []


def conversions() -> set[tuple[str, str, str]]:
    """(stage, section, class) of every `params.<section>.to(<class>)` in the stages."""
    found = set()
    for stage in STAGES:
        calls = [node for node in ast.walk(tree(stage)) if isinstance(node, ast.Call)]
        for call in calls:
            called = ast.unparse(call.func).split(".")
            if called[0] == "params" and called[-1] == "to":
                found.add((stage, called[1], ast.unparse(call.args[0])))
    return found


@pytest.mark.parametrize(("stage", "section", "kind"), sorted(conversions()))
def test_what_the_library_is_given_is_what_the_file_says(stage, section, kind):
    """So a change in pisces/config changes no output unless it changes what is allowed."""
    content = default_params()
    params = Params.model_validate_json(json.dumps(content))
    module = importlib.import_module(f"stages.{SCRIPTS[stage]}")
    converted = getattr(params, section).to(eval(kind, vars(module)))
    plain = json.loads(json.dumps(dataclasses.asdict(converted)))
    given = {name: value for name, value in plain.items() if name not in FOUND.get(section, ())}
    assert given == content[section]


def test_shares_of_the_parts_are_those_of_the_file():
    content = default_params()
    shares = Params.model_validate_json(json.dumps(content)).stratify.shares
    assert shares == tuple(content["stratify"][part] for part in ("train", "validation", "test"))


def leaves(section: str, key: str | None) -> set[tuple[str, str]]:
    """(section, key) of one key, or of every key of a section."""
    keys = Params.model_fields[section].annotation.model_fields
    return {(section, key)} if key in keys else {(section, one) for one in keys}


def params_read(stage: str) -> set[tuple[str, str]]:
    """(section, key) of every `params.<section>.<key>` in a stage.

    `params.<section>` by itself stands for all of its keys.
    """
    attributes = [node for node in ast.walk(tree(stage)) if isinstance(node, ast.Attribute)]
    outer = {node.value: node for node in attributes}
    read = set()
    for node, section in outer.items():
        if isinstance(node, ast.Name) and node.id == "params":
            key = outer[section].attr if section in outer else None
            read |= leaves(section.attr, key)
    return read


def params_listed(stage: str) -> list[str]:
    return STAGES[stage].get("params", [])


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_those_that_the_stage_reads(stage):
    listed = set()
    for entry in params_listed(stage):
        section, _, key = entry.partition(".")
        listed |= leaves(section, key or None)
    assert listed == params_read(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_no_param_is_hidden_from_the_run_cache(stage):
    """DVC looks a run up without keys named `size` or `nfiles`, unless as section.key."""
    for section in (entry for entry in params_listed(stage) if "." not in entry):
        assert not {"size", "nfiles"} & {key for _, key in leaves(section, None)}


@pytest.mark.parametrize("stage", STAGES)
def test_all_params_go_nowhere_but_to_tracking(stage):
    calls = [node for node in ast.walk(tree(stage)) if isinstance(node, ast.Call)]
    whole = [
        ast.unparse(call.func)
        for call in calls
        for value in call.args
        if ast.unparse(value) == "params"
    ]
    assert set(whole) <= {"tracking.stage", *REMARKS}
    assert "tracking.stage" in whole


# Paths and scripts


@pytest.mark.parametrize("script", sorted(set(SCRIPTS.values())))
def test_paths_of_the_script_are_deps_or_outputs_of_its_stages(script):
    stages = [stage for stage in STAGES if SCRIPTS[stage] == script]
    calls = [node for node in ast.walk(tree(stages[0])) if isinstance(node, ast.Call)]
    constants = [
        call.args[0]
        for call in calls
        if ast.unparse(call.func) == "Path" and isinstance(call.args[0], ast.Constant)
    ]
    paths = {constant.value for constant in constants}

    declared = []
    for stage in stages:
        made = [dep for dep in STAGES[stage]["deps"] if dep.startswith(MADE_BY_THE_PIPELINE)]
        declared += made + outputs(stage)

    def within(inner: str, outer: str) -> bool:
        return Path(inner).is_relative_to(outer)

    assert paths
    assert [path for path in paths if not any(within(one, path) for one in declared)] == []
    assert [one for one in declared if not any(within(one, path) for path in paths)] == []


def test_stages_are_thin():
    files = {
        path.stem: len(path.read_text().splitlines())
        for path in (ROOT / "stages").glob("*.py")
        if path.stem != "__init__"
    }
    assert set(files) == set(SCRIPTS.values())
    assert [name for name, lines in files.items() if lines > MOST_STAGE_LINES] == []


def test_commands_run_the_scripts():
    special = {
        "train": "${train.launcher} -m stages.train",
        "report_data": "python -m stages.report data",
        "report": "python -m stages.report results",
    }
    expected = {stage: special.get(stage, f"python -m stages.{stage}") for stage in STAGES}
    assert {stage: entry["cmd"] for stage, entry in STAGES.items()} == expected


def test_no_out_is_uncached():
    """An entry of `outs` with `cache: false` switches DVC's run cache off for its stage."""
    outs = [(stage, out) for stage, entry in STAGES.items() for out in entry.get("outs", [])]
    assert [(stage, out) for stage, out in outs if not isinstance(out, str)] == []


def test_only_the_report_draws():
    drawn = {stage for stage in STAGES if any(one.endswith(".png") for one in outputs(stage))}
    assert drawn == {"report_data", "report"}


# Which stages a change runs again, without running any


@pytest.fixture(scope="module")
def recorded(copied, shell) -> Path:
    """A copy for which DVC has recorded every stage as done, its outputs made up."""
    for stage in STAGES:
        for name in outputs(stage):
            (copied / name).parent.mkdir(parents=True, exist_ok=True)
            (copied / name).write_text(f"{name}\n")
    shell.must(copied, "dvc", "commit", "--force", "--quiet")
    return copied


def changed(shell: Shell, root: Path) -> set[str]:
    """The stages with a changed dependency or param."""
    return set(json.loads(shell.must(root, "dvc", "status", "--json")))


def test_nothing_is_changed_at_first(recorded, shell):
    assert changed(shell, recorded) == set()


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("pisces/report/style.py", {"report_data", "report", "page"}),
        ("pisces/run/tracking.py", set()),
        ("pisces/config/schema.py", set()),
        (
            "pisces/models/joint.py",
            {"train", "evaluate", "pis", "tune_masks", "attribute", "counterfactual", "explore"},
        ),
        ("stages/report.py", {"report_data", "report"}),
    ],
)
def test_changed_code_runs_the_stages_that_use_it(recorded, shell, file, stages):
    source = recorded / file
    before = source.read_text()
    source.write_text(before + "# x\n")
    try:
        assert changed(shell, recorded) == stages
    finally:
        source.write_text(before)


def test_a_changed_drawing_trains_and_renders_nothing(recorded, shell):
    before = (recorded / "params.yaml").read_text()
    change_params(recorded, "draw", method="gaussian")
    try:
        assert changed(shell, recorded) == {"train", "page"}  # which shows all params
    finally:
        (recorded / "params.yaml").write_text(before)


def test_the_last_stages_lead_back_to_all_but_synthesize():
    """`make repro` names them, so that nothing is synthesised for a user's own file."""
    makers = {path: stage for stage in STAGES for path in outputs(stage)}
    found = {"report_data", "report", "page"}
    todo = set(found)
    while todo:
        deps = {dep for stage in todo for dep in STAGES[stage]["deps"]}
        todo = {makers[dep] for dep in deps if dep in makers} - found
        found |= todo
    assert found == set(STAGES) - {"synthesize"}
    assert "dvc repro report_data report page\n" in (ROOT / "Makefile").read_text()


# Through all stages


RUN_ALL = """
import importlib, sys
for command in sys.argv[1:]:
    name, *arguments = command.split()
    sys.argv = [name, *arguments]
    importlib.import_module(name).main()
"""
"""One process for all stages, which imports torch once."""

FEWEST = {
    "synthesize": {"frames_per_cell": 20, "samples": 512},
    "data": {"frames_per_cell": 20, "snrs_db": [-6, 30]},
    "render": {"size": 16, "views": ["raw", "noise"]},
    "train": {"epochs": 2},
    "perturb": {"window": 0.5, "stride": 0.5},
    "attribute": {
        "window": 0.5,
        "stride": 0.5,
        "levels_percent": [50, 100],
        "infidelity_samples": 2,
        "randomised_steps": 1,
    },
}
"""Over the preset smoke: every kind of mask, method and table, and as little of each as works."""


@pytest.fixture(scope="module")
def made(tmp_path_factory, shell) -> Path:
    """A copy after all stages in the order of dvc.yaml."""
    params = overlaid(smoke_params(), FEWEST)
    root = copy_code(tmp_path_factory.mktemp("made") / "pisces", params)
    commands = [entry["cmd"].partition(" -m ")[2] for entry in STAGES.values()]
    shell.must(root, sys.executable, "-c", RUN_ALL, *commands)
    return root


def test_every_declared_output_is_made_and_no_other(made):
    declared = {path for stage in STAGES for path in outputs(stage)}
    assert [path for path in declared if not (made / path).exists()] == []

    folders = ("data", "models", "metrics", "plots")
    entries = {path for folder in folders for path in (made / folder).iterdir()}
    found = {str(path.relative_to(made)) for path in entries if path.name != "raw"}
    ours = {name for name in declared if not name.startswith("data/raw/")}
    assert found - ours == set()


def test_nothing_half_written_is_left(made):
    hidden = [
        path
        for folder in ("data", "models", "metrics", "plots")
        for path in (made / folder).rglob(".*")
    ]
    assert hidden == []
    left = [path for path in (made / ".ckpt").rglob("*") if path.parent.name == "train"]
    assert [path for path in left if path.suffix != ".lock"] == []


def test_metrics_are_json_without_nan(made):
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for path in (made / "metrics").glob("*.json"):
        assert json.loads(path.read_text(), parse_constant=refuse)
