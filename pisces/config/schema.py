"""The typed, strict model of the whole of params.yaml: its sections, and what they ask of another.

The keys of a section, with meaning, unit and range, are in `config.sections`. Defaults are in
presets/default.yaml and nowhere else. A new key takes a line in its section, in the library's
dataclass that it becomes, and in presets/default.yaml with params.yaml.
"""

from typing import Self

from pydantic import model_validator

from pisces.config import agreement
from pisces.config.fields import Section
from pisces.config.sections.data import Base, Data, Stratify, Synthesize
from pisces.config.sections.explanation import (
    Attribute,
    Counterfactual,
    Evaluate,
    Explain,
    Explore,
    Limits,
    Perturb,
    Pis,
)
from pisces.config.sections.images import Draw, Render
from pisces.config.sections.noise_aware import Cldnn, NoiseAware
from pisces.config.sections.training import Augment, Train


class Params(Section):
    """All of params.yaml."""

    base: Base
    data: Data
    synthesize: Synthesize
    render: Render
    draw: Draw
    stratify: Stratify
    augment: Augment
    train: Train
    cldnn: Cldnn
    noise_aware: NoiseAware
    evaluate: Evaluate
    perturb: Perturb
    pis: Pis
    explain: Explain
    attribute: Attribute
    counterfactual: Counterfactual
    limits: Limits
    explore: Explore

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        for check in agreement.CHECKS:
            check(self)
        return self
