"""What a stage imports before it starts: nothing that takes seconds and is not always needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("[a-z]*.py"))

SLOW = ("captum", "mlflow", "sklearn", "torch._dynamo", "torchvision")
"""Modules that take from half a second to several."""
NEEDED = {"train": {"torch._dynamo"}, "tune_masks": {"torch._dynamo"}}
"""Stage -> those without which it cannot start."""
DRAWING = ("report", "page")
"""Stages that may import matplotlib."""


def imported(statement: str) -> set[str]:
    """The slow modules, and matplotlib, that a fresh process holds after a statement."""
    watched = [*SLOW, "matplotlib"]
    report = f"print(json.dumps([name for name in {watched} if name in sys.modules]))"
    code = f"{statement}\nimport json, sys\n{report}"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_nothing_slow_before_it_needs_it(stage):
    allowed = NEEDED.get(stage, set()) | ({"matplotlib"} if stage in DRAWING else set())
    assert imported(f"import stages.{stage}") <= allowed


def test_the_default_model_is_built_and_used_without_torchvision():
    statement = """
import torch
from pisces.evaluation import inference
from pisces.models import Architecture, build
model = build(Architecture("pixel_set", "plain", "standard"), (1, 32, 32), 4, (0, 10)).eval()
inference.predict(model, torch.rand(2, 1, 32, 32), torch.zeros(2))
"""
    assert imported(statement) == set()


def test_a_backbone_of_torchvision_imports_it():
    statement = """
from pisces.models import Architecture, build
build(Architecture("resnet18", "plain", "standard"), (1, 32, 32), 4, (0, 10))
"""
    assert "torchvision" in imported(statement)
