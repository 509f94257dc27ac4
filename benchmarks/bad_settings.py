"""Params, arguments and variables that are wrong; see `benchmarks.bad_inputs`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import damage
from benchmarks.damage import BYTES, DEEP, Case, of_file

PARAMS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "a text as rate": ({"train": {"lr": "fast"}}, "train.lr"),
    "a rate of 0": ({"train": {"lr": 0}}, "train.lr"),
    "a rate that is infinite": ({"train": {"lr": float("inf")}}, "train.lr"),
    "a misspelt key": ({"train": {"lrr": 1e-3}}, "train.lrr"),
    "a misspelt model": ({"train": {"model": "resnet19"}}, "train.model"),
    "10^12 epochs": ({"train": {"epochs": 10**12}}, "train.epochs"),
    "10^12 frames a batch": ({"train": {"batch_size": 10**12}}, "train.batch_size"),
    "seed of 10^30": ({"base": {"seed": 10**30}}, "base.seed"),
    "seed below 0": ({"base": {"seed": -1}}, "base.seed"),
    "a section a number": ({"render": 3}, "render"),
    "a section a list": ({"render": [1]}, "render"),
    "100 000 modulations": (
        {"data": {"modulations": [f"QAM{n}" for n in range(100_000)]}},
        "data.modulations",
    ),
    "one modulation 100 000 times": (
        {"data": {"modulations": 100_000 * ["QPSK"]}},
        "data.modulations",
    ),
    "100 000 views": ({"render": {"views": 100_000 * ["eye"]}}, "render.views"),
    "100 000 SNRs": ({"data": {"snrs_db": list(range(100_000))}}, "data.snrs_db"),
    "an SNR of 10^30": ({"data": {"snrs_db": [0, 10**30]}}, "data.snrs_db"),
    "SNRs that fall": ({"data": {"snrs_db": [10, 0]}}, "data.snrs_db"),
    "10^15 frames a cell": (
        {"synthesize": {"frames_per_cell": 10**15}},
        "synthesize.frames_per_cell",
    ),
    "a stride of 10^-9": ({"perturb": {"stride": 1e-9}}, "perturb.stride"),
    "a window of 10^-9": ({"perturb": {"window": 1e-9}}, "perturb.window"),
    "a stride above the window": ({"perturb": {"window": 0.1, "stride": 0.2}}, "perturb"),
    "2 000 levels": (
        {"perturb": {"levels_percent": [n / 20 for n in range(1, 2001)]}},
        "perturb.levels_percent",
    ),
    "2 000 levels of the curve": (
        {"perturb": {"curve_percent": [n / 20 for n in range(1, 2001)]}},
        "perturb.curve_percent",
    ),
    "2 000 levels of deletion": (
        {"attribute": {"levels_percent": [n / 20 for n in range(1, 2001)]}},
        "attribute.levels_percent",
    ),
    "a level above 100": ({"perturb": {"levels_percent": [1, 101]}}, "perturb.levels_percent"),
    "levels that fall": ({"perturb": {"levels_percent": [1, 0.5]}}, "perturb.levels_percent"),
    "10^9 masks of RISE": ({"attribute": {"rise_masks": 10**9}}, "attribute.rise_masks"),
    "a stride of occlusion of 10^-9": ({"attribute": {"stride": 1e-9}}, "attribute.stride"),
    "10^9 steps": ({"attribute": {"ig_steps": 10**9}}, "attribute.ig_steps"),
    "10^9 steps by doubling": ({"attribute": {"ig_most_steps": 10**9}}, "attribute.ig_most_steps"),
    "10^9 orders": (
        {"attribute": {"shapley_permutations": 10**9}},
        "attribute.shapley_permutations",
    ),
    "10^9 samples": ({"attribute": {"infidelity_samples": 10**9}}, "attribute.infidelity_samples"),
    "10^12 resamples": ({"attribute": {"resamples": 10**12}}, "attribute.resamples"),
    "10^12 trials": ({"limits": {"trials": 10**12}}, "limits.trials"),
    "ratios that sum to .9": ({"stratify": {"train": 0.7}}, "stratify"),
    "a ratio and numbers": ({"stratify": {"train": 7}}, "stratify"),
    "no views": ({"render": {"views": []}}, "render.views"),
    "a size of 33": ({"render": {"size": 33}}, "render.size"),
    "a delay of 10^9": ({"render": {"delay": 10**9}}, "render.delay"),
    "a path of zero bytes": ({"data": {"path": "\0"}}, "data.path"),
    "an empty path": ({"data": {"path": ""}}, "data.path"),
    "the generated file spelt otherwise": (
        {"data": {"path": "./data/raw/synthetic.hdf5"}},
        "data.path",
    ),
    "an address": ({"data": {"path": "https://example.org/x.hdf5"}}, "data.path"),
    "an echo without delay": (
        {"synthesize": {"impairments": {"echo": {"amplitude": [0, 0.5]}}}},
        "synthesize.impairments.echo.delay",
    ),
    "a pair of one number": ({"synthesize": {"rolloff": [0.2]}}, "synthesize.rolloff"),
    "a number for a pair": ({"synthesize": {"rolloff": 0.2}}, "synthesize.rolloff"),
    "frames too few for three parts": (
        {"synthesize": {"frames_per_cell": 2}, "data": {"path": "data/raw/synthetic.hdf5"}},
        "synthesize.frames_per_cell",
    ),
    "weights that are not there": (
        {"train": {"model": "resnet18", "pretrained": "nowhere.pth"}},
        "train.pretrained",
    ),
}
"""What is wrong -> the values and the key that the answer must name."""

FRAMES_OF_16 = {
    "synthesize": {"samples": 64, "sps": 16},
    "render": {"sps": 16},
    "data": {"path": "data/raw/synthetic.hdf5"},
}


def _params() -> Iterator[Case]:
    for what, (changes, key) in PARAMS.items():
        command = "train" if key == "train.pretrained" else "pisces check"
        yield from of_file("params.yaml", command, key, **{what: damage.params(changes)})
    yield from of_file("params.yaml", "pisces check", **BYTES)
    texts = {
        "a list": "- 1\n",
        "a tab": "train:\n\tlr: 1\n",
        "an alias": "a: &a 1\nb: *a\n",
        "a key twice": "train: {}\ntrain: {}\n",
        "100 000 levels": DEEP,
        "a number of 5 000 digits": f"base: {{seed: {5000 * '9'}}}\n",
    }
    for what, text in texts.items():
        yield from of_file("params.yaml", "pisces check", **{what: damage.written(text)})
    yield from of_file(
        "params.yaml",
        "pisces check",
        "synthesize.samples",
        frames_too_short_for_the_view_symbol=damage.params(FRAMES_OF_16),
    )


def _commands() -> Iterator[Case]:
    def nothing(_: Path) -> None:
        """The argument or the variable is what is wrong."""

    commands = {
        "a preset of nobody": ("pisces preset smokey", "smokey"),
        "neither preset nor data": ("pisces preset", "preset"),
        "data that are not there": ("pisces preset --data nowhere.hdf5", "nowhere.hdf5"),
        "data that are a folder": ("pisces preset --data presets", "presets"),
        "a folder that exists": ("pisces export-png data", "data"),
        "a view of nobody": ("pisces export-png png --view eye", "--view"),
        "no frames": ("pisces export-png png --frames-per-cell 0", "--frames-per-cell"),
        "a part of nobody": ("report all", "all"),
    }
    for what, (line, named) in commands.items():
        yield Case("", what, nothing, tuple(line.split()), named)

    variables = {
        "PISCES_UI_PORT": ("http", "pisces ui"),
        "PISCES_TRACKING": ("maybe", "stratify"),
        "MLFLOW_TRACKING_URI": ("http://127.0.0.1:1", "pisces ui"),
    }
    for name, (value, line) in variables.items():
        yield Case("", value, nothing, tuple(line.split()), name, ((name, value),))
    yield Case(
        "", "99999", nothing, ("pisces", "ui"), "PISCES_UI_PORT", (("PISCES_UI_PORT", "99999"),)
    )


CASES = (*_params(), *_commands())
