"""docs/reference/sweeps.md, made from the schema of a study."""

from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from pisces.config.fields import Section
from pisces.config.keys import key_of, one_line
from pisces.config.reference import table
from pisces.experiments.pipeline import TRAINING_COLUMNS
from pisces.experiments.space import ALL_TRIED, Dimension
from pisces.experiments.study_checks import TOGETHER
from pisces.experiments.study_schema import Pruner, Sampler, Study

PAGE = Path("docs/reference/sweeps.md")
HEAD = """# Sweep files

Every key of `sweeps/<name>.yaml`, which says what a sweep searches for and where.
Made by `python -m pisces docs`; the meaning of a key stands in `pisces/experiments/`.
`python -m pisces check` checks the files, as a sweep does before it begins. What is tried must be
valid params on top of the preset: each choice; each value of a range of up to ALL_TRIED whole
numbers or steps; of any other range both ends and some values between. Each is tried with the first
values of the other keys, and then TOGETHER points of the whole space. A value that is not among
them and that params refuse fails the trial that draws it.

    preset: smoke
    metric: training.validation_joint_accuracy
    direction: maximize
    trials: 20
    fixed:
      train.epochs: 8
    space:
      train.lr: {from: 1e-4, to: 1e-2, log: true}
      train.batch_size: {choices: [16, 32]}
      train.schedule: {choices: [one_cycle, cosine]}
      train.warmup_steps: {from: 0, to: 40, step: 10, int: true, when: {train.schedule: [cosine]}}
"""
REQUIRED = "required"
PARTS: tuple[tuple[str, type[Section], tuple[str, ...]], ...] = (
    ("A study", Study, ("sampler", "pruner", "space")),
    ("sampler", Sampler, ()),
    ("pruner", Pruner, ()),
    ("A key of the space", Dimension, ()),
)
"""Head, section, and keys of it that have tables of their own."""


def page() -> str:
    """The whole page, as Markdown."""
    head = HEAD.replace("ALL_TRIED", str(ALL_TRIED)).replace("TOGETHER", str(TOGETHER))
    parts = [head]
    for head, section, apart in PARTS:
        rows = table(section, _defaults(section)).splitlines(keepends=True)
        kept = [row for row in rows if not row.startswith(tuple(f"| `{one}" for one in apart))]
        parts.append(f"\n## {head}\n\n{one_line(section.__doc__)}\n\n{''.join(kept)}")

    columns = ", ".join(f"`{one}`" for one in TRAINING_COLUMNS)
    parts.append(f"\n## Columns of the training\n\nOf `epoch_metric` and `training.`: {columns}.\n")
    return "".join(parts)


def _defaults(section: type[Section]) -> dict[str, Any]:
    """Key -> default of a section that has some."""
    defaults = {}
    for name, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True)
        absent = default is PydanticUndefined
        defaults[key_of(name, field)] = REQUIRED if absent else default
    return defaults
