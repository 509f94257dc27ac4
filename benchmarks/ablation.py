"""What each part of the noise-aware CLDNN is worth, beside the field's baselines: makes the tables
of docs/results/ablation.md.

make ablation [PRESET=ablation] [DATA=/path/to/RML2016.10a_dict.pkl]

Every model is trained on one preset with three seeds, each of which makes its own data, split and
start; what differs from A0 is taken seed by seed, on the same frames. They are DVC experiments,
found in MLflow by one tag. Interrupted, the command resumes with those that are missing. Run it
with nothing uncommitted. The page is written from the whole matrix on the preset `ablation`; any
other choice is printed only.
"""

import argparse
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from itertools import product
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks import experiments, pages
from benchmarks.timing import interleave, machine_and_date, medians
from pisces import models
from pisces.config import presets
from pisces.config.io import parse_params
from pisces.config.schema import Params
from pisces.config.sections.training import MODELS
from pisces.evaluation.metrics import BANDS_DB
from pisces.models import Architecture
from pisces.models.cldnn import Settings
from pisces.models.modelfile import CARD

PAGE = Path("docs/results/ablation.md")
START, END = "<!-- made by benchmarks.ablation -->\n", "<!-- end -->\n"
SEEDS = (1, 2, 3)
FIRST = "A0"
TIMED_FRAMES, TIMED_REPEATS = 256, 5
PHASES = ("a", "b1", "b2", "c")


Overrides = dict[str, Any]


def identity(weight: float) -> Overrides:
    return {f"noise_aware.{phase}.identity": weight for phase in PHASES}


ON_FRAMES: Overrides = {"train.input": "iq", "train.model": models.CLDNN}
PLAIN = ON_FRAMES | {
    "augment.mixup_alpha": 0,
    "augment.time_shift": False,
    "cldnn.dropout": 0.15,
    **identity(0.03),
}
A2 = PLAIN | {"cldnn.paths": "denoised", "cldnn.film": False}
A4 = ON_FRAMES | identity(0.05)
A4 |= {"cldnn.paths": "dual", "cldnn.film": True, "cldnn.dropout": 0.2}
A4 |= {"augment.mixup_alpha": 0.2, "augment.mixup_probability": 0.5, "augment.time_shift": True}
MATRIX: dict[str, Overrides] = {
    "A0": PLAIN | {"cldnn.paths": "raw", "cldnn.film": False},
    "A1": PLAIN | {"cldnn.paths": "raw", "cldnn.film": True},
    "A2": A2,
    "A2b": A2 | {"evaluate.bypass_denoiser": True},
    "A3": PLAIN | {"cldnn.paths": "dual", "cldnn.film": False},
    "A4": A4,
    "A4 legacy mixup": A4 | {"augment.mixup_losses": "all_losses"},
    "A5": A4 | {"cldnn.expert": "v1", "cldnn.cyclo": True, "train.snr_balance": 0.5},
}
MATRIX |= {name: PLAIN | {"train.model": name} for name in MODELS["iq"] if name != models.CLDNN}
"""Model -> all that it changes of a preset, whatever input that has."""
PAIRS = (
    ("A1", "A0"),
    ("A2", "A0"),
    ("A2", "A2b"),
    ("A4", "A4 legacy mixup"),
    ("A4", "A3"),
    ("A5", "A4"),
    ("A5", "A0"),
    ("pet_cgdnn", "A0"),
)
"""Models whose difference the page speaks of, the first less the second."""


def experiment(model: str, seed: int, on: str) -> str:
    """The name of an experiment, which git admits.

    Args:
        model: of `MATRIX`.
        seed: `base.seed`.
        on: what the model is trained on; see `name_of`.

    Returns:
        Small letters and digits, with single hyphens between.
    """
    return re.sub("[^a-z0-9]+", "-", f"{on} {model} {seed}".lower())


def all_experiments(chosen: Sequence[str], seeds: Sequence[int], on: str) -> dict[str, Overrides]:
    """The experiments to run, in their order.

    Seeds turn slowest, so that a sweep cut short has whole seeds. What takes the model of another
    comes after all.

    Args:
        chosen: Models of `MATRIX`.
        seeds: Values of `base.seed`.
        on: What the models are trained on; see `name_of`.

    Returns:
        Name -> overrides of the params.
    """
    borrowers = [model for model in chosen if "evaluate.bypass_denoiser" in MATRIX[model]]
    pairs = [(model, seed) for seed in seeds for model in chosen if model not in borrowers] + list(
        product(borrowers, seeds)
    )
    return {
        experiment(model, seed, on): {"base.seed": seed, "train.seed": seed} | MATRIX[model]
        for model, seed in pairs
    }


def accuracies(names: Sequence[str]) -> dict[str, np.ndarray]:
    """ "overall" and each band -> accuracy of modulation, "SNR" -> that of the SNR, in percent, of
    each experiment: (seeds,).
    """
    found = [experiments.metrics(name, "evaluate") for name in names]
    by_snr = [experiments.read_csv(name, "plots/accuracy_by_snr.csv") for name in names]

    by = {"overall": [one["modulation"]["accuracy"] for one in found]}
    for band in BANDS_DB:
        by[band] = [in_band(one, band) for one in by_snr]
    by["SNR"] = [one["snr"]["accuracy"] for one in found]
    return {name: 100 * np.array(values) for name, values in by.items()}


def in_band(by_snr: pd.DataFrame, band: str) -> float:
    """Accuracy of modulation over all frames of a band, NaN where it has none."""
    inside = by_snr[by_snr["snr_db"].between(*BANDS_DB[band])]
    frames = inside["frames"]
    return float((inside["modulation"] * frames).sum() / frames.sum()) if len(inside) else np.nan


def build(params: Params, samples: int) -> torch.nn.Module:
    train, data = params.train, params.data
    cldnn = Settings(**params.cldnn.model_dump()) if train.model == models.CLDNN else None
    architecture = Architecture(train.model, train.branches, train.snr_head, cldnn)
    model = models.build(architecture, (2, samples), len(data.modulations), data.snrs_db).eval()
    model.bypass = params.evaluate.bypass_denoiser
    return model


def costs(settings: Mapping[str, Params], samples: int) -> dict[str, tuple[int, float]]:
    """Model -> its parameters, and frames of so many samples a second that it predicts,
    batches of 256, all models in turn.
    """
    built = {name: build(params, samples) for name, params in settings.items()}
    frames = torch.randn(TIMED_FRAMES, 2, samples)

    @torch.inference_mode()
    def ask(model: torch.nn.Module) -> None:
        model(frames)

    seconds = medians(
        interleave({name: partial(ask, model) for name, model in built.items()}, TIMED_REPEATS)
    )
    return {
        name: (sum(p.numel() for p in model.parameters()), TIMED_FRAMES / seconds[name])
        for name, model in built.items()
    }


def overlay(preset: str, data: Path | None) -> dict[str, Overrides]:
    """A preset, with a file of data if there is one."""
    changes = {} if data is None else {"data": {"path": str(data.resolve())}}
    return presets.merged(presets.overlay(preset), changes)


def name_of(preset: str, data: Path | None) -> str:
    """What experiments on a preset, and on a file of data if there is one, are called."""
    if data is None:
        return preset
    digest = hashlib.blake2b(str(data.resolve()).encode(), digest_size=3).hexdigest()
    return f"{preset} {data.stem} {digest}"


def settings_of(model: str, laid_over: Mapping[str, Overrides]) -> Params:
    """The params that an experiment has."""
    content = presets.on_defaults(laid_over)
    for key, value in MATRIX[model].items():
        *sections, last = key.split(".")
        reduce(getitem, sections, content)[last] = value
    return parse_params(content, f"the preset with {model}")


def all_accuracies(
    chosen: Sequence[str], seeds: Sequence[int], on: str
) -> dict[str, dict[str, np.ndarray]]:
    """What the experiments of `all_experiments` reached.

    Args:
        chosen: Models of `MATRIX`.
        seeds: Values of `base.seed`.
        on: What the models are trained on; see `name_of`.

    Returns:
        Model -> its `accuracies`, in percent, (seeds,) each.
    """
    return {model: accuracies([experiment(model, seed, on) for seed in seeds]) for model in chosen}


def rows(
    reached: Mapping[str, Mapping[str, np.ndarray]], cost: Mapping[str, tuple[int, float]]
) -> list[dict[str, str]]:
    """One row a model."""
    made = []
    for model, by in reached.items():
        parameters, speed = cost[model]
        row = {"model": model} | {name: pages.interval(values) for name, values in by.items()}
        row["to A0"] = (
            ""
            if model == FIRST or FIRST not in reached
            else pages.interval(by["overall"] - reached[FIRST]["overall"], "+")
        )
        made.append(row | {"parameters": f"{parameters:,}", "frames/s": f"{speed:,.0f}"})
    return made


def differences(reached: Mapping[str, Mapping[str, np.ndarray]]) -> list[dict[str, str]]:
    """One row a pair of `PAIRS`, of those that were trained: seed by seed, what the first has over
    the second.
    """
    pairs = [(one, other) for one, other in PAIRS if one in reached and other in reached]
    return [
        {"difference": f"{one} - {other}"}
        | {
            name: pages.interval(values - reached[other][name], "+")
            for name, values in reached[one].items()
        }
        for one, other in pairs
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "models", nargs="*", default=list(MATRIX), help=f"which (default: {', '.join(MATRIX)})"
    )
    parser.add_argument("--preset", default="ablation")
    parser.add_argument(
        "--data", type=Path, help="a file to take the frames from, instead of generating them"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--jobs", type=int, default=2, help="experiments at a time")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.models) - set(MATRIX)):
        parser.error(f"there is no model {', '.join(unknown)}; there are {', '.join(MATRIX)}")
    if arguments.data and not arguments.data.is_file():
        parser.error(f"{arguments.data} does not exist")
    laid_over = overlay(arguments.preset, arguments.data)
    settings = {model: settings_of(model, laid_over) for model in arguments.models}
    on = name_of(arguments.preset, arguments.data)
    wanted = all_experiments(arguments.models, arguments.seeds, on)
    experiments.run(wanted, laid_over, f"ablation {on}", arguments.jobs)
    samples = experiments.read(next(iter(wanted)), f"models/{CARD}")["input"]["samples"]
    cost = costs(settings, samples)
    data = f" on `{arguments.data.name}`" if arguments.data else ""
    seeds = ", ".join(map(str, arguments.seeds))
    made = f"Made by `make ablation` with the preset `{arguments.preset}`{data}, "
    made += f"seeds {seeds}, on {machine_and_date()}.\n\n"
    reached = all_accuracies(arguments.models, arguments.seeds, on)
    made += pages.table(rows(reached, cost))
    if compared := differences(reached):
        made += "\n" + pages.table(compared)
    if (on, arguments.models, tuple(arguments.seeds)) == (PAGE.stem, list(MATRIX), SEEDS):
        pages.write_between(PAGE, START, END, made)
    print(made)


if __name__ == "__main__":
    main()
