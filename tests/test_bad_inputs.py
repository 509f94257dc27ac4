"""Every bad input of docs/results/reliability.md is answered in one line that names it."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from benchmarks import bad_inputs
from benchmarks.bad_inputs import CASES, Answer
from benchmarks.damage import Case, missing
from tests.pipeline import STAGES, outputs

ROOT = Path(__file__).parents[1]
FILE_BY_FILE = ("tune_masks",)
"""Stages whose output is a folder, in which each file gets its name by itself."""
CASE = Case("models/model.json", "missing", missing, ("evaluate",), "models/model.json")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    return bad_inputs.make_workspace(tmp_path_factory.mktemp("bad_inputs") / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=[case.label for case in CASES])
def test_a_bad_input_is_one_line_that_names_it(case, workspace, tmp_path):
    answer = bad_inputs.answer_to(case, workspace, tmp_path / "copy")
    assert bad_inputs.is_helpful(case, answer), answer
    debris = [path for path in (tmp_path / "copy").rglob(".*") if path.name != ".ckpt"]
    assert [path for path in debris if ".ckpt" not in path.parts] == []


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_outputs_of_a_stage_appear_together_or_not_at_all(stage, workspace, tmp_path, monkeypatch):
    """All are taken away first, and the last one of a new run does not get its name."""
    root = shutil.copytree(workspace, tmp_path / "copy")
    made = {root / name for name in outputs(stage)}
    if stage in FILE_BY_FILE:
        made = {path for folder in made for path in folder.rglob("*") if path.is_file()}
    for path in made:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    replace = os.replace

    def replace_but_the_last(source, target):
        target = Path(target).absolute()
        if target in made and all(path.exists() for path in made - {target}):
            raise PermissionError(errno.EACCES, "no", str(source), None, str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_but_the_last)
    monkeypatch.chdir(root)
    command = stage.replace("report_data", "report data").split()
    answer = bad_inputs.run(["report", "results"] if stage == "report" else command)
    assert answer.status == 1
    assert [path for path in made if path.exists()] == []
    assert any(str(path.relative_to(root)) in answer.lines[-1] for path in made)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(0, ()),
        Answer(2, ("Traceback", "KeyError: models/model.json")),
        Answer(3, ()),
        Answer(1, ("error: invalid literal for int()",)),
        Answer(1, ("error: models/model.json is damaged", "and more")),
    ],
)
def test_what_is_not_helpful(answer):
    assert not bad_inputs.is_helpful(CASE, answer)
    assert bad_inputs.is_helpful(CASE, Answer(1, ("error: models/model.json is damaged",)))


def test_a_damage_has_one_name_and_a_name_one_damage():
    """Else two rows of the table would say the same of different things."""
    damages: dict[tuple[str, str], set[int]] = {}
    for case in CASES:
        damages.setdefault((case.file, case.what), set()).add(id(case.spoil))
    several = [name for name, spoils in damages.items() if name[0] and len(spoils) > 1]
    assert several == []
    assert len({(case.label, case.environment) for case in CASES}) == len(CASES)


def test_the_page_has_a_row_for_every_case():
    text = (ROOT / bad_inputs.PAGE).read_text()
    section = text.partition(bad_inputs.START)[2].partition(bad_inputs.END)[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert len(rows) == len(CASES) >= 100
    for case, row in zip(CASES, rows, strict=True):
        assert row.startswith(f"| `{case.file or case.named}` | {case.what} | ")
