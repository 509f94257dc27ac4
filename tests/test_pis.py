"""Scores of models whose answers hang on known pixels, in closed form; and intervals that mean
what they say.
"""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pisces.core import shards, stats
from pisces.core.paired import difference_interval
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.core.tasks import TASKS
from pisces.inputs import rendering
from pisces.inputs.binning import OUTSIDE
from pisces.inputs.drawing import BinStore, Drawing, DrawingProber
from pisces.inputs.waveform import IqStore, WaveformProber
from pisces.pis import intervals, summary, tables
from pisces.pis import score as scores
from pisces.pis.masks import KINDS, Mask, build
from pisces.pis.outcome import Outcome, impact
from pisces.pis.score import measure
from pisces.pis.settings import MaskSettings
from pisces.pis.store import PerturbationPlan
from pisces.pis.summary import published
from pisces.pis.tables import area_table, by_cell, table
from tests.conftest import PERTURB, RENDER, SAMPLES, SIZE, draw, raw_only, save_bins

CPU = torch.device("cpu")
KEY_PIXEL = 27
FRAMES = 60  # a cell
LEVELS = (5, 20)


def drawn(data: BinStore) -> DrawingProber:
    """The frames of a data set as images of their counts."""
    return DrawingProber(Drawing(data.render, draw("histogram")), data)


def rng() -> np.random.Generator:
    return generator(1, "test pis")


def settings(**changes) -> MaskSettings:
    """All masks by brightness of 5 and 20 %, but for `changes`."""
    usual = {
        "levels_percent": LEVELS,
        "curve_percent": (),
        "regions": (),
        "rings": 4,
        "window": 0.25,
        "stride": 0.25,
    }
    return replace(PERTURB, **(usual | changes))


def planned(
    data: BinStore, index: np.ndarray, views: tuple[str, ...] = ("raw",), **changes
) -> PerturbationPlan:
    """The masks that `settings` ask for, of the frames of an index."""
    masks = tuple(build(views, settings(**changes), data.render.size))
    return PerturbationPlan(index, masks, settings(**changes), 1, data.render)


def lists_of(plan: PerturbationPlan, data: BinStore) -> dict[tuple[Mask, str], list[np.ndarray]]:
    """The lit pixels that every mask and control takes of each frame."""
    lists = {}
    for view in plan.views:
        of_view = [mask for mask in plan.masks if mask.view == view]
        of_frames = list(plan.taken(data, 0, len(plan.frame), of_view))
        for mask, kind in product(of_view, KINDS):
            lists[mask, kind] = [taken.pixels(mask, kind) for taken in of_frames]
    return lists


class Counted(nn.Module):
    """Counts the images it is shown, and looks at one channel of them, or a slice."""

    def __init__(self, channel: int | slice = 0):
        super().__init__()
        self.channel, self.images, self.largest = channel, 0, 0

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.images, self.largest = self.images + len(images), max(self.largest, len(images))
        return self.answer(images[:, self.channel].flatten(1))


class Planted(Counted):
    """Second modulation if the key pixel is lit; second SNR if there are more than 55 samples."""

    def answer(self, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        lit, heavy = counts[:, KEY_PIXEL] > 0, counts.sum(1) > 55
        return torch.stack([~lit, lit], 1).float(), torch.stack([~heavy, heavy], 1).float()


class Constant(Counted):
    def answer(self, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor([0.0, 1.0]).repeat(len(counts), 1), torch.tensor([1.0, 0.0]).repeat(
            len(counts), 1
        )


class Linear(Counted):
    """Random weights over the pixels of all views.

    Sensitive to all of them, in no particular way.
    """

    def __init__(self):
        super().__init__(slice(None))
        self.weights = torch.from_numpy(
            generator(1, "test linear").normal(size=(2, 4 * SIZE * SIZE, 3)).astype(np.float32)
        )

    def answer(self, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return counts @ self.weights[0], counts @ self.weights[1]


# By hand


@pytest.mark.parametrize(
    ("before", "after", "fraction", "published"),
    [
        (0.5125660, 0.3950382, 0.01, 11.7528),
        (0.7639033, 0.7203712, 0.01, 4.3532),
        (0.6870894, 0.5805479, 0.01, 10.6541),
        (0.5125660, 0.3736674, 0.02, 6.9449),
    ],
)
def test_published_scores(before, after, fraction, published):
    # Half a unit of the last digit, of the score and of two accuracies of seven digits.
    assert impact(before - after, fraction) == pytest.approx(
        published, abs=0.5e-4 + 1e-7 / fraction
    )


def test_score_of_nothing_taken_is_undefined():
    assert np.isnan(impact(0.0, 0.0))
    assert impact(-0.02, 0.05) == pytest.approx(-0.4)


def outcome_of(
    before: dict[str, np.ndarray],
    after: dict[str, dict[str, np.ndarray]],
    mask: Mask,
    fraction: float,
) -> Outcome:
    """One mask's outcome, `after` being kind -> task -> (n,) bool, with the same fraction in every
    frame.
    """
    n = len(before["joint"])
    outcome = Outcome([mask], n)
    outcome.baseline = before
    for kind in KINDS:
        outcome.correct[kind] = {task: values[None] for task, values in after[kind].items()}
        outcome.fraction[kind][:] = fraction
    return outcome


def test_published_scores_from_answers():
    """The published accuracies are whole numbers of the 111 412 test frames; taking 5.5 % of the
    lit pixels, they score less.
    """
    n = 111_412

    def first(modulation: float, snr: float, joint: float) -> dict[str, np.ndarray]:
        return {
            task: np.arange(n) < round(share * n)
            for task, share in zip(TASKS, (modulation, snr, joint), strict=True)
        }

    before, after = first(0.7639033, 0.6870894, 0.5125660), first(0.7203712, 0.5805479, 0.3950382)
    outcome = outcome_of(
        before, dict.fromkeys(KINDS, after), Mask("raw", "percentile", "top", 1.0), 0.055
    )
    rows = table(outcome).set_index("task")
    assert rows["pis_nominal"][list(TASKS)].tolist() == pytest.approx(
        [4.3532, 10.6541, 11.7528], abs=0.7e-4
    )
    assert rows["pis"][list(TASKS)].tolist() == pytest.approx(
        [4.3532 / 5.5, 10.6541 / 5.5, 11.7528 / 5.5], abs=0.2e-4
    )
    assert rows["n"].tolist() == [n] * 3


# A planted model


@pytest.fixture(scope="module")
def planted(tmp_path_factory, write_constellations) -> BinStore:
    """2 modulations x 2 SNRs on 8 x 8 pixels, 20 of them lit, each frame with one brightest.

    10 samples, the others at most 3.

    Frames of the second modulation have it in the key pixel, of the first never there; 60 samples
    are inside at the second SNR and
    30 at the first. So the planted model is always right, until the brightest pixel goes.
    """
    cells = {}
    for m, modulation in enumerate(("BPSK", "QPSK")):
        for s, snr_db in enumerate((0, 10)):
            others = [3] * 12 + [2] * 7 if s else [2] + [1] * 18
            bins = np.full((FRAMES, 60), OUTSIDE, np.uint16)
            for frame in range(FRAMES):
                free = generator(1, "test planted", m, s, frame).permutation(
                    np.delete(np.arange(64), KEY_PIXEL)
                )[:20]
                brightest, rest = (KEY_PIXEL, free[1:]) if m else (free[0], free[1:])
                inside = np.concatenate([np.full(10, brightest), np.repeat(rest, others)])
                bins[frame, : len(inside)] = inside
            cells[Cell(modulation, snr_db)] = bins
    return BinStore(write_constellations(tmp_path_factory.mktemp("planted"), cells, 8))


@pytest.fixture(scope="module")
def everything(planted) -> PerturbationPlan:
    """All masks of 5 and 20 % (1 and 4 of 20 pixels), for every frame."""
    index = np.array([[m, s, frame] for m in (0, 1) for s in (0, 1) for frame in range(FRAMES)])
    return planned(planted, index)


@pytest.fixture(scope="module")
def outcome(planted, everything) -> Outcome:
    return measure(Planted(), drawn(planted), planted, everything, CPU)


@pytest.fixture(scope="module")
def rows(outcome) -> pd.DataFrame:
    return table(outcome)


def of(rows: pd.DataFrame, rule: str, mask: str, level: float) -> pd.DataFrame:
    """Rows of one mask by task."""
    return rows[
        (rows["rule"] == rule) & (rows["mask"] == mask) & (rows["level_percent"] == level)
    ].set_index("task")


def test_planted_pixel_scores_what_it_must(outcome, rows):
    """Top 5 % is the brightest pixel.

    Half of the frames lose their modulation, half their SNR, three quarters one or both.
    """
    assert outcome.accuracy() == dict.fromkeys(TASKS, 1.0)
    top = of(rows, "exact", "top", 5)
    assert top.loc[list(TASKS), "accuracy"].tolist() == [0.5, 0.5, 0.25]
    assert top.loc[list(TASKS), "accuracy_drop"].tolist() == [0.5, 0.5, 0.75]
    assert top["fraction_lit"].tolist() == pytest.approx([1 / 20] * 3)
    assert top["fraction_all"].tolist() == pytest.approx([1 / 64] * 3)
    assert top["fraction_mass"].tolist() == pytest.approx([(10 / 60 + 10 / 30) / 2] * 3)
    assert top.loc[list(TASKS), "pis"].tolist() == pytest.approx([10, 10, 15])
    assert of(rows, "exact", "top", 20).loc[list(TASKS), "pis"].tolist() == pytest.approx(
        [2.5, 2.5, 3.75]
    )


def test_pixels_that_the_model_ignores_score_nothing(rows):
    """Bottom 5 % is one of the dimmest pixels, of at most two samples."""
    bottom = of(rows, "exact", "bottom", 5)
    assert (bottom[["pis", "pis_nominal"]] == 0).all(axis=None)
    assert (bottom["pis_ci_low"] < 0).all()
    assert (bottom["pis_ci_high"] > 0).all()
    assert (bottom["excess"] <= 0).all()


def test_planted_pixel_ranks_first(rows):
    exact = rows[rows["rule"] == "exact"]
    for task in TASKS:
        assert exact.loc[
            exact.loc[exact["task"] == task, "pis"].idxmax(), ["mask", "level_percent"]
        ].tolist() == ["top", 5]
    top = of(rows, "exact", "top", 5)
    assert (top["excess_ci_low"] > 5).all()


@pytest.mark.parametrize(
    ("name", "kind"), [("random", "mask"), ("top", "control_count"), ("bottom", "control_mass")]
)
def test_random_masks_score_as_often_as_they_hit(everything, planted, rows, name, kind):
    """The modulation is lost where the list holds the key pixel and a frame of the second
    modulation; counted in the plan.
    """
    mask = Mask("raw", "exact", name, 20.0)
    lists = lists_of(everything, planted)[mask, kind]
    second = everything.frame[:, 0] == 1
    hits = np.array([KEY_PIXEL in pixels for pixels in lists]) & second
    lit = np.count_nonzero(counts_of(planted, everything.frame), axis=1)
    fraction = np.mean([len(pixels) for pixels in lists] / lit)
    row = of(rows, "exact", name, 20).loc["modulation"]
    assert row["pis" if kind == "mask" else f"{kind}_pis"] == pytest.approx(
        np.mean(hits) / fraction
    )
    # Where 4 of 20 pixels are taken, half of the frames are hit with probability 1/5: 0.5 * 0.2 /
    # 0.2.
    if kind != "control_mass":
        assert fraction == pytest.approx(0.2)
        assert np.mean(hits) == pytest.approx(0.1, abs=5 * np.sqrt(0.2 * 0.8 / 120) / 2)
    assert hits.any()


def test_excess_is_over_the_count_control_and_that_of_a_random_mask_covers_zero(rows):
    assert rows["excess"].tolist() == pytest.approx(
        (rows["pis"] - rows["control_count_pis"]).tolist()
    )
    random = rows[(rows["mask"] == "random") & (rows["rule"] == "exact")]
    assert (random["pis"] > 0).all()
    assert (random["excess_ci_low"] <= 0).all()
    assert (random["excess_ci_high"] >= 0).all()


def test_a_constant_model_scores_zero(planted, everything):
    outcome = measure(Constant(), drawn(planted), planted, everything, CPU)
    assert outcome.accuracy() == {"modulation": 0.5, "snr": 0.5, "joint": 0.25}
    rows = table(outcome)
    scores = rows[["pis", "pis_nominal", "control_count_pis", "control_mass_pis"]]
    assert (scores == 0).all(axis=None)
    assert rows["pis_ci_low"].tolist() == pytest.approx((-rows["pis_ci_high"]).tolist())
    assert (rows["pis_ci_high"] > 0).all()


def test_nominal_and_realised_scores_share_the_drop(rows):
    drop = rows["accuracy_drop"]
    assert (rows["pis"] * rows["fraction_lit"]).tolist() == pytest.approx(drop.tolist())
    assert (rows["pis_nominal"] * rows["level_percent"] / 100).tolist() == pytest.approx(
        drop.tolist()
    )
    exact = rows[rows["rule"] == "exact"]
    assert exact["pis_nominal"].tolist() == pytest.approx(
        exact["pis"].tolist()
    )  # 20 lit pixels: 5 and 20 % are whole numbers of them
    # By the published rule, bottom 5 % of 18 ones, a two and a ten, or 7 twos, 12 threes and a
    # ten, is every tied one: 12.5 of 20.
    tied = of(rows, "percentile", "bottom", 5)
    assert tied["fraction_lit"].tolist() == pytest.approx([(18 + 7) / 2 / 20] * 3)
    assert tied.loc["snr", "pis_nominal"] == pytest.approx(tied.loc["snr", "pis"] * 0.625 / 0.05)
    assert tied.loc["snr", "accuracy_drop"] == 0.5


def different_lists(plan: PerturbationPlan, data: BinStore) -> set[tuple]:
    """(frame, lit pixels taken) of all lists of one view, and of taking none."""
    different: set[tuple] = {(frame,) for frame in range(len(plan.frame))}
    for lists in lists_of(plan, data).values():
        different |= {(frame, *pixels.tolist()) for frame, pixels in enumerate(lists)}
    return different


def counts_of(data: BinStore, index: np.ndarray) -> np.ndarray:
    return np.stack(
        [
            np.bincount(row[row < data.render.size**2], minlength=data.render.size**2)
            for row in data.bins(index)
        ]
    )


def test_each_frame_is_asked_once_for_each_different_list(planted, everything):
    model = Planted()
    measure(model, drawn(planted), planted, everything, CPU)
    assert model.images == len(different_lists(everything, planted))
    # Of 36 lists and the frame as it is: the masks of one exact level share their count control,
    # and a tie makes bottom 5 and 20 % one.
    assert model.images <= 4 * FRAMES * (37 - 4 - 3)


def test_a_list_that_takes_nothing_gets_the_answer_of_the_whole_frame(planted, everything):
    """Windows of 2 x 2 of 64 pixels, 20 of them lit, often hold none, and 2 % of 64 pixels drawn
    from all are mostly dark.
    """
    changes = {
        "rules": ("percentile",),
        "masks": ("random",),
        "levels_percent": (2,),
        "regions": ("window",),
    }
    file, model = planned(planted, everything.frame, **changes), Planted()
    outcome = measure(model, drawn(planted), planted, file, CPU)
    assert model.images == len(different_lists(file, planted))
    nothing = outcome.fraction["mask"][:, 1] == 0
    assert nothing.any(axis=1).all()
    assert not nothing.all(axis=1).any()
    for task in TASKS:
        assert outcome.correct["mask"][task][nothing].all()  # as before anything was taken
    assert model.images < 0.8 * 4 * FRAMES * len(file.masks) * len(KINDS)


def test_a_dark_frame_keeps_its_answer(write_constellations, tmp_path):
    bins = np.array([[OUTSIDE, OUTSIDE], [KEY_PIXEL, 3]])
    data = BinStore(
        write_constellations(
            tmp_path, {Cell(m, s): bins for m in ("BPSK", "QPSK") for s in (0, 10)}, 8
        )
    )
    file = planned(
        data,
        np.array([[1, 0, 0], [1, 0, 1]]),
        rules=("exact",),
        masks=("top",),
        levels_percent=(100,),
    )
    outcome = measure(Planted(), drawn(data), data, file, CPU)
    assert outcome.baseline["modulation"].tolist() == [False, True]
    assert outcome.correct["mask"]["modulation"].tolist() == [[False, False]]
    assert outcome.fraction["mask"][0, 1].tolist() == [0, 1]
    row = table(outcome).set_index("task").loc["modulation"]
    assert (row["accuracy_drop"], row["fraction_lit"], row["pis"]) == (0.5, 0.5, 1)


def test_no_frame_is_left_out(outcome, everything):
    """Every mask but the published random one, which may miss, takes lit pixels of every frame,
    and so does its count control.
    """
    never_misses = [
        i for i, mask in enumerate(everything.masks) if mask[1:3] != ("percentile", "random")
    ]
    assert len(never_misses) == 10
    for kind in ("mask", "control_count"):
        assert outcome.fraction[kind].shape == (12, 3, 4 * FRAMES)
        assert (outcome.fraction[kind][never_misses] > 0).all()


@pytest.mark.parametrize("batch", [7, 100])
def test_batch_size_does_not_matter(planted, everything, outcome, monkeypatch, batch):
    monkeypatch.setattr(scores, "BATCH", batch)
    model = Planted()
    again = measure(model, drawn(planted), planted, everything, CPU)
    assert model.largest == batch
    for kind in KINDS:
        assert np.array_equal(again.fraction[kind], outcome.fraction[kind])
        for task in TASKS:
            assert np.array_equal(again.correct[kind][task], outcome.correct[kind][task])
            assert np.array_equal(again.baseline[task], outcome.baseline[task])
    assert table(again).equals(table(outcome))


def test_joint_is_never_above_either_task(data, index):
    file = planned(
        data,
        index,
        ("raw", "noise"),
        masks=("top", "bottom"),
        levels_percent=(5,),
    )
    outcome = measure(Linear(), drawn(data), data, file, CPU)
    for right in (outcome.baseline, *outcome.correct.values()):
        assert np.array_equal(right["joint"], right["modulation"] & right["snr"])
        assert right["joint"].any()
        assert not right["modulation"].all()
    accuracy = table(outcome).pivot(
        index=["view", "rule", "mask"], columns="task", values="accuracy"
    )
    assert (accuracy["joint"] <= accuracy[["modulation", "snr"]].min(axis=1)).all()
    assert accuracy.to_numpy().min() < accuracy.to_numpy().max()


# Several views


@pytest.fixture(scope="module")
def paired(planted, tmp_path_factory) -> BinStore:
    """The planted frames as `raw`, behind a view of other points.

    40 or so on other pixels, now and then on the key one.
    """
    root = tmp_path_factory.mktemp("paired")
    for (m, modulation), (s, snr_db) in product(
        enumerate(planted.modulations), enumerate(planted.snrs_db)
    ):
        index = np.array([[m, s, frame] for frame in range(FRAMES)])
        symbol = (
            generator(1, "test paired", m, s).poisson(12, (FRAMES, 40)) + np.arange(40) // 20 * 25
        )
        save_bins(
            root, Cell(modulation, snr_db), {"symbol": symbol, "raw": planted.gather(index)[0]}, 8
        )
    return BinStore(root)


@pytest.fixture(scope="module")
def of_both(paired, everything) -> PerturbationPlan:
    return planned(
        paired,
        everything.frame,
        ("raw", "symbol"),
    )


@pytest.fixture(scope="module")
def looks_at_raw(paired, of_both) -> Outcome:
    return measure(Planted(channel=1), drawn(paired), paired, of_both, CPU)


def test_a_view_that_the_model_does_not_look_at_scores_nothing(looks_at_raw):
    rows = table(looks_at_raw)
    assert rows.groupby("view", sort=False).size().to_dict() == {"raw": 36, "symbol": 36}
    of_view = {view: part.drop(columns="view") for view, part in rows.groupby("view")}
    scores = [
        "pis",
        "pis_nominal",
        "control_count_pis",
        "control_mass_pis",
        "excess",
    ]
    assert (of_view["symbol"][scores] == 0).all(axis=None)
    assert (of_view["symbol"]["fraction_lit"] > 0).all()
    for name in ("pis", "excess"):  # 240 frames that do not change tell nothing beyond 1.6 points
        points = of_view["symbol"][f"{name}_ci_high"] * of_view["symbol"]["fraction_lit"]
        assert points.to_numpy() == pytest.approx(1.96**2 / (240 + 1.96**2), rel=0.02)
    assert of(of_view["raw"], "exact", "top", 5).loc[list(TASKS), "pis"].tolist() == pytest.approx(
        [10, 10, 15]
    )


def test_scores_of_a_view_do_not_depend_on_which_others_are_rendered_or_masked(
    outcome, looks_at_raw
):
    """The same frames, one view and twelve masks or two views and twenty-four."""
    assert looks_at_raw.masks[:12] == outcome.masks
    for task in TASKS:
        assert np.array_equal(looks_at_raw.baseline[task], outcome.baseline[task])
    for kind in KINDS:
        assert np.array_equal(looks_at_raw.fraction[kind][:12], outcome.fraction[kind])
        for task in TASKS:
            assert np.array_equal(
                looks_at_raw.correct[kind][task][:12], outcome.correct[kind][task]
            )


def test_fractions_are_of_the_view_of_the_mask(paired, of_both, looks_at_raw):
    lists = lists_of(of_both, paired)
    for v, view in enumerate(paired.render.views):
        bins = paired.gather(of_both.frame)[v]
        counts = np.stack([np.bincount(row[row != OUTSIDE], minlength=64) for row in bins])
        lit, points = np.count_nonzero(counts, axis=1), counts.sum(axis=1)
        places = [i for i, mask in enumerate(of_both.masks) if mask.view == view]
        assert len(places) == 12
        for i, kind in product(places, KINDS):
            taken = lists[of_both.masks[i], kind]
            held = [of_frame[pixels].sum() for of_frame, pixels in zip(counts, taken, strict=True)]
            found = looks_at_raw.fraction[kind][i]
            assert found[1] == pytest.approx([len(pixels) for pixels in taken] / lit)
            assert found[2] == pytest.approx(held / points)


class Watcher(Constant):
    """Keeps what it is shown."""

    def __init__(self):
        super().__init__()
        self.shown: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.shown.append(images.clone())
        return super().forward(images)


def test_masks_and_controls_take_the_listed_pixels_of_their_own_view_and_no_others(
    paired, everything
):
    chosen = (Mask("symbol", "exact", "top", 20.0), Mask("raw", "exact", "random", 20.0))
    file = PerturbationPlan(everything.frame, chosen, settings(), 1, paired.render)
    model = Watcher()
    measure(model, drawn(paired), paired, file, CPU)
    images = torch.cat(model.shown).flatten(2).numpy()  # (n, views, pixels)
    whole, shown = images[: 4 * FRAMES], {image.tobytes() for image in images}
    expected = {image.tobytes() for image in whole}
    for (mask, _), lists in lists_of(file, paired).items():
        for image, pixels in zip(whole.copy(), lists, strict=True):
            image[paired.render.views.index(mask.view), pixels] = 0
            expected.add(image.tobytes())
    assert shown == expected
    assert len(expected) > 6 * 4 * FRAMES  # nearly all lists differ


def test_equal_lists_of_two_views_are_predicted_apart(paired, everything):
    """A window of the whole picture takes all lit pixels, which are the same in views of equal
    bins.
    """
    whole = tuple(Mask(view, "window", "0-0", None) for view in ("symbol", "raw"))
    changes = settings(window=1.0)
    file = PerturbationPlan(everything.frame, whole, changes, 1, paired.render)
    outcome = measure(Planted(channel=1), drawn(paired), paired, file, CPU)
    assert outcome.correct["mask"]["joint"].mean(axis=1).tolist() == [1.0, 0.25]


# Models of raw IQ


class OfFrames(nn.Module):
    """Linear in the numbers of frames (n, 2, samples).

    Logits of both tasks from weights (2, 2 * samples, classes), and a bias.
    """

    def __init__(self, weights: np.ndarray, bias: tuple[float, ...]):
        super().__init__()
        self.weights, self.bias, self.shown = (
            torch.from_numpy(weights.astype(np.float32)),
            torch.tensor(bias),
            [],
        )

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.shown.append(frames)
        modulation, snr = frames.flatten(1) @ self.weights
        return modulation + self.bias, snr


KEY_SAMPLE, IQ_SAMPLES = 11, 40


@pytest.fixture(scope="module")
def keyed(tmp_path_factory) -> tuple[BinStore, IqStore]:
    """Samples within 1.1 RMS of the origin, but for the key sample of the second modulation, whose
    I and Q are 1.8 RMS or more.

    In 8 x 8 pixels of 0.5 RMS it lies in the upper right corner, number 7, alone.
    """
    root = tmp_path_factory.mktemp("keyed")
    for m, modulation in enumerate(("BPSK", "QPSK")):
        for snr_db in (0, 10):
            stream = generator(1, "test keyed", modulation, snr_db)
            iq = np.exp(2j * np.pi * stream.random((FRAMES, IQ_SAMPLES))) * stream.uniform(
                0.9, 1.0, (FRAMES, IQ_SAMPLES)
            )
            if m:
                iq[:, KEY_SAMPLE] = 1.9 + 1.9j
            frames = {
                "iq": iq.astype(np.complex64).view(np.float32).reshape(FRAMES, IQ_SAMPLES, 2),
                "row": np.arange(FRAMES),
            }
            cell = Cell(modulation, snr_db)
            shards.save(cell.path(root / "iq"), frames, cell._asdict())
    rendering.render(root / "iq", root / "constellations", raw_only(8, extent=2.0))
    return BinStore(root / "constellations"), IqStore(root / "iq")


@pytest.mark.parametrize("fill", ["zero", "resample"])
def test_a_model_of_one_sample_leans_on_just_its_pixel(keyed, fill):
    """Second modulation if I of the key sample is above 2, which is 1.4 times the RMS of complex
    samples; always the first SNR.

    Each window is a pixel. Without that of the key sample, all frames of the second modulation are
    taken for the first: half of the
    accuracy is lost for one lit pixel of half of the frames.
    """
    data, source = keyed
    weights = np.zeros((2, 2 * IQ_SAMPLES, 2))
    weights[0, KEY_SAMPLE, 1] = 1
    changes = {
        "masks": (),
        "rules": ("exact",),
        "levels_percent": (5,),
        "regions": ("window",),
        "window": 1 / 8,
        "stride": 1 / 8,
    }
    file = planned(data, data.every_frame(), **changes)
    outcome = measure(
        OfFrames(weights, (2.0, 0.0)),
        WaveformProber(source, data, fill, 1),
        data,
        file,
        CPU,
    )
    assert outcome.accuracy() == {"modulation": 1, "snr": 0.5, "joint": 0.5}
    rows = table(outcome).query("task == 'modulation'").set_index("mask")
    assert len(rows) == 64
    key, counts = rows.loc["0-7"], counts_of(data, file.frame)
    assert (counts[:, 7] == np.repeat([0, 1], 2 * FRAMES)).all()
    assert key["accuracy_drop"] == 0.5
    assert key["fraction_lit"] == pytest.approx(
        np.mean((counts[:, 7] > 0) / np.count_nonzero(counts, axis=1))
    )
    assert key["pis"] == pytest.approx(0.5 / key["fraction_lit"])
    others = rows.drop("0-7")
    assert (others["accuracy_drop"] == 0).all()
    assert (others["fraction_lit"] > 0).sum() > 10


@pytest.fixture(scope="module")
def of_every_view(data, index) -> PerturbationPlan:
    """Masks of all views, for 20 frames."""
    return planned(
        data, index[::9], RENDER.views, levels_percent=(20,), regions=("ring", "cluster")
    )


def of_random_frames() -> OfFrames:
    return OfFrames(generator(1, "test frames").normal(size=(2, 2 * SAMPLES, 3)), (0.0, 0.0, 0.0))


@pytest.mark.parametrize("fill", ["zero", "resample"])
def test_answers_of_raw_iq_are_those_of_each_mask_asked_singly(
    data, iq_shards, of_every_view, fill
):
    source = IqStore(iq_shards)
    prober, file, model = (
        WaveformProber(source, data, fill, 1),
        of_every_view,
        of_random_frames(),
    )
    outcome = measure(model, prober, data, file, CPU)
    asked = sum(map(len, model.shown))
    targets, waves = torch.from_numpy(file.frame[:, :2]), prober.probe(file.frame, CPU)

    def right(frames: torch.Tensor) -> dict[str, np.ndarray]:
        modulation, snr = (
            (torch.stack([one.argmax(1) for one in model(frames)], 1) == targets).numpy().T
        )
        return {"modulation": modulation, "snr": snr, "joint": modulation & snr}

    plain = right(source.prepare(source.gather(file.frame), CPU))
    for task in TASKS:
        assert np.array_equal(outcome.baseline[task], plain[task])
    changed = 0
    lists = lists_of(file, data)
    for (i, mask), kind in product(enumerate(file.masks), KINDS):
        taken = lists[mask, kind]
        first = data.render.views.index(mask.view) * SIZE**2
        offsets = np.cumsum([0, *map(len, taken)])
        said = right(
            waves.without(list(range(len(targets))), first + np.concatenate(taken), offsets)
        )
        for task in TASKS:
            assert np.array_equal(outcome.correct[kind][task][i], said[task])
        changed += np.count_nonzero(said["modulation"] != plain["modulation"])
    lists = len(file.masks) * len(KINDS)
    assert changed > 0.05 * lists * len(targets)
    assert asked < 0.9 * (lists + 1) * len(targets)


@pytest.mark.parametrize("batch", [7, 100])
def test_batch_size_does_not_matter_for_raw_iq(data, iq_shards, of_every_view, monkeypatch, batch):
    """Random fillings hang on the frame, not on its place in a batch."""
    prober = WaveformProber(IqStore(iq_shards), data, "resample", 1)
    expected = measure(of_random_frames(), prober, data, of_every_view, CPU)
    monkeypatch.setattr(scores, "BATCH", batch)
    again = measure(model := of_random_frames(), prober, data, of_every_view, CPU)
    assert max(map(len, model.shown)) == batch
    for kind, task in product(KINDS, TASKS):
        assert np.array_equal(again.correct[kind][task], expected.correct[kind][task])


def test_constellations_and_raw_iq_are_asked_about_the_same_pixels(data, iq_shards, of_every_view):
    """What a mask takes is counted on the constellation, whatever the model sees."""
    images = measure(Linear(), drawn(data), data, of_every_view, CPU)
    frames = measure(
        of_random_frames(),
        WaveformProber(IqStore(iq_shards), data, "zero", 1),
        data,
        of_every_view,
        CPU,
    )
    for kind in KINDS:
        assert np.array_equal(images.fraction[kind], frames.fraction[kind])
    assert not np.array_equal(images.correct["mask"]["joint"], frames.correct["mask"]["joint"])


# Intervals


def simulated(
    n: int, before: np.ndarray, flips: dict[str, float], stream: np.random.Generator
) -> Outcome:
    """An outcome in which each kind changes each frame's answers, right or wrong, with a
    probability of its own.
    """
    after = {
        kind: dict.fromkeys(TASKS, before ^ (stream.random(n) < flips[kind])) for kind in KINDS
    }
    return outcome_of(
        dict.fromkeys(TASKS, before), after, Mask("raw", "exact", "random", 5.0), 0.05
    )


def test_intervals_are_paired():
    """Half of the answers are right, and 2 % change.

    The drop scatters by sqrt(.02 / n), not by the sqrt(2 / 4 / n) of two samples.
    """
    n, stream = 4000, generator(1, "test paired")
    outcome = simulated(n, stream.random(n) < 0.5, dict.fromkeys(KINDS, 0.02), stream)
    row = table(outcome).iloc[0]
    width = row["pis_ci_high"] - row["pis_ci_low"]
    changed = np.mean(outcome.baseline["joint"] != outcome.correct["mask"]["joint"][0])
    paired = 2 * 1.96 * np.sqrt((changed - row["accuracy_drop"] ** 2) / n) / 0.05
    # A score interval is the wider, by a share of the order of 1.96^2 over the frames that change.
    assert width == pytest.approx(paired, rel=1.96**2 / (changed * n))
    assert width < 0.3 * 2 * 1.96 * np.sqrt(0.5 / n) / 0.05
    assert row["pis_ci_low"] < row["pis"] < row["pis_ci_high"]


def test_intervals_of_score_and_excess_cover_the_truth_as_often_as_they_say():
    """The mask breaks and mends 10 % of the answers, the control 20 %.

    Of 70 % right ones, 4 and 8 % are lost.
    """
    n, repeats, stream = 300, 60, generator(1, "test coverage")
    covered = np.zeros(2)
    for _ in range(repeats):
        flips = {"mask": 0.1, "control_count": 0.2, "control_mass": 0.1}
        ends = intervals.score_intervals(simulated(n, stream.random(n) < 0.7, flips, stream))
        truth = {"pis": 0.04 / 0.05, "excess": (0.04 - 0.08) / 0.05}
        covered += [
            ends[f"{name}_ci_low"][0, 0] <= true <= ends[f"{name}_ci_high"][0, 0]
            for name, true in truth.items()
        ]
    # Five standard errors of the simulation.
    error = 5 * np.sqrt(0.95 * 0.05 / repeats)
    assert covered / repeats == pytest.approx([0.95, 0.95], abs=error)


def test_the_accuracy_before_cancels_in_the_excess():
    """The same frames are lost to the mask and to its control: its interval is that of a model that
    is always right, in which nothing else happens.
    """
    n, stream = 200, generator(1, "test cancels")
    before = stream.random(n) < 0.5
    lost = {"mask": np.arange(n) < 20, "control_count": np.arange(n) < 5}
    lost["control_mass"] = lost["control_count"]

    def intervals_of(right: np.ndarray) -> pd.Series:
        after = {kind: dict.fromkeys(TASKS, right ^ lost[kind]) for kind in KINDS}
        mask = Mask("raw", "ring", "1", None)
        found = table(outcome_of(dict.fromkeys(TASKS, right), after, mask, 0.1)).iloc[0]
        return found[["excess", "excess_ci_low", "excess_ci_high"]]

    always = np.ones(n, bool)
    before[:20] = True
    assert intervals_of(before).tolist() == pytest.approx(intervals_of(always).tolist())
    ends = [float(end) / 0.1 for end in difference_interval(15, 0, n)]
    assert intervals_of(always).tolist() == pytest.approx([0.75, *ends])


def test_no_interval_is_without_width(looks_at_raw):
    """Of the view that is not looked at no prediction changes, and of the other every one may."""
    rows = table(looks_at_raw)
    for name in ("pis", "excess", "excess_mass"):
        low, high = rows[f"{name}_ci_low"], rows[f"{name}_ci_high"]
        assert (low < high).all()
        assert (low <= rows[name] + 1e-9).all()
        assert (rows[name] - 1e-9 <= high).all()


def test_intervals_of_a_few_masks_at_a_time_are_the_same(outcome, rows, monkeypatch):
    monkeypatch.setattr(intervals, "VALUES_AT_ONCE", 2 * 240 * len(TASKS))  # of two masks
    pd.testing.assert_frame_equal(table(outcome), rows)


# Tables


def test_grouped_table_is_the_table_of_each_subset(planted, everything, outcome):
    groups = tables.groups(everything.frame, planted)
    assert [name for _, name in groups.values()] == ["modulation", "snr_db"]
    assert groups["modulation"][0].tolist() == ["BPSK"] * 120 + ["QPSK"] * 120
    assert groups["snr"][0].tolist() == 2 * ([0] * 60 + [10] * 60)
    values, name = groups["modulation"]
    grouped = tables.grouped_table(outcome, values, name)
    adjusted = ["p_count_holm", "p_mass_holm", "detectable_count", "detectable_mass"]
    for value in ("BPSK", "QPSK"):
        part = (
            grouped[grouped["modulation"] == value]
            .drop(columns="modulation")
            .reset_index(drop=True)
        )
        expected = table(outcome.of(values == value))
        assert list(part) == list(expected)
        pd.testing.assert_frame_equal(part.drop(columns=adjusted), expected.drop(columns=adjusted))
        assert set(part["n"]) == {120}
    assert list(grouped) == ["modulation", *tables.COLUMNS]
    for _, family in grouped.groupby("family"):  # of both modulations
        for what in ("count", "mass"):
            expected = stats.holm(family[f"p_{what}"].to_numpy())
            assert np.array_equal(family[f"p_{what}_holm"], expected, equal_nan=True)
    top = grouped[
        (grouped["mask"] == "top") & (grouped["rule"] == "exact") & (grouped["level_percent"] == 5)
    ]
    assert top[["modulation", "task", "pis"]].to_numpy().tolist() == [
        *(
            ["BPSK", task, pytest.approx(score)]
            for task, score in zip(TASKS, (0, 10, 10), strict=True)
        ),
        *(
            ["QPSK", task, pytest.approx(score)]
            for task, score in zip(TASKS, (20, 10, 20), strict=True)
        ),
    ]


def test_cells_hold_one_exact_level(planted, everything, outcome):
    """The brightest pixel is the key one of QPSK, and its 10 samples are those that the second SNR
    has too many.
    """
    (modulation, _), (snr_db, _) = tables.groups(everything.frame, planted).values()
    rows = by_cell(outcome, modulation, snr_db, 20)
    assert len(rows) == 4 * 3 * len(TASKS)
    assert (set(rows["rule"]), set(rows["level_percent"]), set(rows["n"])) == (
        {"exact"},
        {20},
        {FRAMES},
    )
    top = rows[rows["mask"] == "top"].pivot(
        index=["modulation", "snr_db"], columns="task", values="pis"
    )[list(TASKS)]
    assert top.index.tolist() == [("BPSK", 0), ("BPSK", 10), ("QPSK", 0), ("QPSK", 10)]
    assert top.to_numpy() == pytest.approx(np.array([[0, 0, 0], [0, 5, 5], [5, 0, 5], [5, 5, 5]]))
    assert rows["excess"].tolist() == pytest.approx(
        (rows["pis"] - rows["control_count_pis"]).tolist()
    )
    overall = of(table(outcome), "exact", "random", 20)
    cells = rows[rows["mask"] == "random"].groupby("task").mean(numeric_only=True)
    assert cells["accuracy_drop"].to_dict() == pytest.approx(overall["accuracy_drop"].to_dict())
    assert cells["fraction_lit"].to_dict() == pytest.approx(overall["fraction_lit"].to_dict())
    # All cells have as many frames and all frames as many lit pixels: scores of all frames are
    # means over cells.
    assert (overall["control_count_pis"] > 0).all()
    assert cells[["control_count_pis", "excess"]].stack().to_dict() == pytest.approx(
        overall.loc[cells.index, ["control_count_pis", "excess"]].stack().to_dict()
    )


def test_cells_and_areas_are_empty_without_exact_masks(planted, everything):
    file = planned(planted, everything.frame[:3], rules=("percentile",))
    only = measure(Planted(), drawn(planted), planted, file, CPU)
    rows = by_cell(only, np.array(["BPSK"] * 3), np.zeros(3, int), 20)
    assert (len(rows), {"pis", "control_count_pis", "excess"} <= set(rows)) == (0, True)
    assert (len(area_table(only)), "area" in area_table(only)) == (0, True)


def test_regions_have_no_level_and_no_nominal_score(planted, everything):
    """The key pixel, in row 3 and column 3 of 8, is in the innermost of four rings, in one of four
    sectors and in one window.
    """
    changes = {
        "rules": ("exact",),
        "masks": ("top",),
        "levels_percent": (5,),
        "regions": ("ring", "sector", "window"),
    }
    file = planned(planted, everything.frame, **changes)
    rows = table(measure(Planted(), drawn(planted), planted, file, CPU))
    regions = rows[(rows["rule"] != "exact") & (rows["task"] == "modulation")]
    assert len(regions) == 4 + 4 + 16
    assert regions[["level_percent", "pis_nominal"]].isna().all(axis=None)
    hit = regions[regions["accuracy_drop"] > 0]
    assert hit[["rule", "mask"]].to_numpy().tolist() == [
        ["ring", "1"],
        ["sector", "3"],
        ["window", "2-2"],
    ]
    assert (hit["accuracy_drop"] == 0.5).all()  # each frame of QPSK
    assert hit["pis"].tolist() == pytest.approx((0.5 / hit["fraction_lit"]).tolist())
    assert (hit["p_count_holm"] < 0.05).all()


def headline_rows(**changes) -> pd.DataFrame:
    """Two views, two levels, both rules, a ring; all scores 1 and no excess but for `changes`."""
    masks = [
        (v, r, m, level)
        for v in "ab"
        for r in ("exact", "percentile")
        for m in ("top", "bottom", "random")
        for level in (5.0, 20.0)
    ]
    masks.append(("a", "ring", "1", np.nan))
    rows = pd.DataFrame(masks, columns=["view", "rule", "mask", "level_percent"])
    rows = rows.merge(pd.DataFrame({"task": TASKS}), how="cross")
    return rows.assign(**{"pis": 1.0, "excess": 3.0, "p_count_holm": 0.5} | changes)


def chosen_rows(rows: pd.DataFrame, **labels) -> pd.Series:
    return (rows[list(labels)] == pd.Series(labels)).all(axis=1)


def test_headline_is_the_mean_over_views_at_the_largest_level_by_the_exact_rule():
    rows = headline_rows()
    top = {"rule": "exact", "mask": "top", "level_percent": 20.0, "task": "snr"}
    rows.loc[chosen_rows(rows, view="a", **top), "pis"] = 4.0
    expected = {"top": 1.0, "bottom": 1.0, "random": 1.0, "excess": 0.0}
    found = summary.headline(rows, (5, 20))
    assert found == {"modulation": expected, "snr": expected | {"top": 2.5}, "joint": expected}
    assert json.loads(json.dumps(found, allow_nan=False)) == found

    # A view in which it is undefined is left out; and where it is in both, so is the number.
    rows.loc[chosen_rows(rows, view="b", **top), "pis"] = np.nan
    assert summary.headline(rows, (5, 20))["snr"]["top"] == 4.0
    rows.loc[chosen_rows(rows, **top), "pis"] = np.nan
    assert set(summary.headline(rows, (5, 20))["snr"]) == {"bottom", "random", "excess"}

    rows = headline_rows()
    rows.loc[chosen_rows(rows, rule="percentile", level_percent=20.0), "pis"] = 7.0
    percentile = rows[rows["rule"] != "exact"]
    assert summary.headline(percentile, (5, 20))["joint"]["bottom"] == 7.0


def test_headline_names_the_largest_excess_that_is_significant():
    rows = headline_rows()
    ring = chosen_rows(rows, rule="ring", task="joint")
    rows.loc[ring, "p_count_holm"] = 0.049
    low = chosen_rows(rows, view="b", rule="exact", mask="top", level_percent=5.0)
    rows.loc[low, ["excess", "p_count_holm"]] = [-2.0, 0.001]
    found = {task: of_task["excess"] for task, of_task in summary.headline(rows, (5, 20)).items()}
    assert found == {"modulation": 0.0, "snr": 0.0, "joint": 3.0}


def test_headline_of_the_planted_model(rows):
    """The four brightest of 20 lit pixels cost half, half and three quarters of the accuracy."""
    found = summary.headline(rows, LEVELS)
    assert [found[task]["top"] for task in TASKS] == pytest.approx([2.5, 2.5, 3.75])
    bottom = of(rows, "exact", "bottom", 20).loc["joint", "pis"]
    assert found["joint"]["bottom"] == bottom
    for task in TASKS:
        top = of(rows, "exact", "top", 5).loc[task]
        assert found[task]["excess"] == pytest.approx(top["excess"])


def test_a_mask_that_takes_nothing_has_no_score(planted):
    """1 % of 20 lit pixels rounds to none."""
    index = np.array([[1, 1, frame] for frame in range(FRAMES)])
    changes = {"rules": ("exact",), "masks": ("top",)}
    few = measure(
        Planted(),
        drawn(planted),
        planted,
        planned(planted, index, levels_percent=(1, 5), **changes),
        CPU,
    )
    rows = table(few)
    nothing = of(rows, "exact", "top", 1)
    assert nothing[["pis", "excess", "excess_mass"]].isna().all(axis=None)
    assert (nothing["accuracy_drop"] == 0).all()
    assert nothing[["p_count", "p_mass", "p_count_holm", "p_mass_holm"]].isna().all(axis=None)
    assert "top" not in summary.headline(nothing.reset_index(), (1,))["joint"]
    none = measure(
        Planted(),
        drawn(planted),
        planted,
        planned(planted, index, levels_percent=(1,), **changes),
        CPU,
    )
    rows = area_table(none)
    assert rows[["area", "control_area", "excess_area"]].isna().all(axis=None)


def test_every_answer_is_written(outcome, everything, tmp_path):
    for name in ("a.npz", "b.npz"):
        outcome.write(tmp_path / name, everything.frame, "samples are zeroed")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as file:
        assert file["masks"].tolist() == [mask.key for mask in outcome.masks]
        assert np.array_equal(file["frame"], everything.frame)
        for task in TASKS:
            assert np.array_equal(file[f"{task}_baseline"], outcome.baseline[task])
            for kind in KINDS:
                assert np.array_equal(file[f"{task}_{kind}"], outcome.correct[kind][task])
        assert np.array_equal(file["fraction_mask"], outcome.fraction["mask"])
        assert str(file["note"]) == "samples are zeroed"


# By mass


def test_excess_mass_is_over_what_chance_loses_by_the_same_mass():
    """Half of the answers are lost to a tenth of the mass; chance, which took an eighth, loses a
    quarter.
    """
    before, n = np.ones(8, bool), 8
    after = {"mask": np.arange(n) < 4, "control_count": before, "control_mass": np.arange(n) < 6}
    outcome = outcome_of(
        dict.fromkeys(TASKS, before),
        {kind: dict.fromkeys(TASKS, right) for kind, right in after.items()},
        Mask("raw", "ring", "1", None),
        0.2,
    )
    outcome.fraction["mask"][:, 2], outcome.fraction["control_mass"][:, 2] = 0.1, 0.125
    row = table(outcome).iloc[0]
    assert row["control_mass_fraction_mass"] == 0.125
    assert row["excess_mass"] == pytest.approx(0.5 / 0.1 - 0.25 / 0.125)
    assert row["excess_mass_ci_low"] < row["excess_mass"] < row["excess_mass_ci_high"]
    assert row["excess"] == pytest.approx(0.5 / 0.2)
    assert row["control_mass_pis"] == pytest.approx(0.25 / 0.2)
    assert row["p_count"] == pytest.approx(2 / 2**4)  # four answers, all lost to the mask
    assert row["p_mass"] == pytest.approx(2 / 2**2)


# Areas


def line(fractions: list[float], right: list[list[int]]) -> Outcome:
    """An outcome of 10 frames, all right before and the first so many right after each exact mask,
    of that fraction in every frame.

    `right` is that of the mask and of its count control.
    """
    outcome = Outcome([Mask("raw", "exact", "top", 100 * fraction) for fraction in fractions], 10)
    outcome.baseline = dict.fromkeys(TASKS, np.ones(10, bool))
    for kind, counts in zip(KINDS, right, strict=False):
        outcome.correct[kind] = {task: np.arange(10) < np.array(counts)[:, None] for task in TASKS}
        outcome.fraction[kind][:] = np.array(fractions)[:, None, None]
    return outcome


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_area_of_straight_lines(order):
    """From 1 down to 0 as the fraction grows.

    1/2 however the levels lie, in whatever order. The control stays at 1.
    """
    fractions, left = [0.1, 0.3, 1.0], [9, 7, 0]
    outcome = line([fractions[i] for i in order], [[left[i] for i in order], [10, 10, 10]])
    row = area_table(outcome).set_index("task").loc["joint"]
    assert row[
        ["area", "control_area", "excess_area", "fraction_lit_end"]
    ].tolist() == pytest.approx([0.5, 1, -0.5, 1])
    assert row["area_ci_low"] < 0.5 < row["area_ci_high"] < 1


def test_area_is_over_the_range_that_was_taken():
    """1 at 0, 1/2 at 0.1, 1/2 at 0.2.

    (3/4 + 1/2) / 2 along the way, whether levels lie there or not.
    """
    row = area_table(line([0.1, 0.2], [[5, 5], [5, 5]])).iloc[0]
    assert row[
        ["area", "control_area", "excess_area", "fraction_lit_end"]
    ].tolist() == pytest.approx([0.625, 0.625, 0, 0.2])
    assert row["excess_area_ci_low"] < -0.1 < 0.1 < row["excess_area_ci_high"]  # of 10 frames


def test_area_of_a_model_that_never_changes_its_mind_is_its_accuracy(planted, everything):
    outcome = measure(Constant(), drawn(planted), planted, everything, CPU)
    rows = area_table(outcome)
    assert len(rows) == 3 * len(TASKS)
    for task, accuracy in {"modulation": 0.5, "snr": 0.5, "joint": 0.25}.items():
        part = rows[rows["task"] == task]
        assert part[["area", "control_area"]].to_numpy() == pytest.approx(accuracy)
        assert part["excess_area"].to_numpy() == pytest.approx(0, abs=1e-12)
        for end in (-part["excess_area_ci_low"], part["excess_area_ci_high"]):
            assert end.to_numpy() == pytest.approx(1.96**2 / (240 + 1.96**2), rel=0.01)
        assert (
            part["area_ci_high"] - part["area_ci_low"] > 0.05
        ).all()  # of 240 frames, a standard error of 0.03


def test_intervals_of_areas_are_paired():
    """One level: the area is the mean of the answers before and after, and the control's excess
    half their difference.
    """
    n, stream = 4000, generator(1, "test areas")
    before = stream.random(n) < 0.7
    outcome = simulated(n, before, {"mask": 0.1, "control_count": 0.2, "control_mass": 0}, stream)
    row = area_table(outcome).iloc[0]
    after, control = (outcome.correct[kind]["joint"][0] for kind in KINDS[:2])
    for name, per_frame in {
        "area": (0.0 + before + after) / 2,
        "excess_area": (0.0 + after - control) / 2,
    }.items():
        width = 2 * 1.96 * per_frame.std() / np.sqrt(n)
        # As in test_intervals_are_paired.
        tolerance = width * 1.96**2 / np.count_nonzero(per_frame != np.median(per_frame))
        assert row[name] == pytest.approx(per_frame.mean())
        assert row[f"{name}_ci_high"] - row[f"{name}_ci_low"] == pytest.approx(width, abs=tolerance)


# Tests


def test_masks_that_are_chance_or_their_own_control_are_not_tested(planted, everything):
    """At 100 % of the lit pixels mask and controls coincide, and a random mask is one more draw of
    its control.
    """
    file = planned(
        planted,
        everything.frame,
        rules=("exact",),
        levels_percent=(5, 100),
        regions=("ring",),
    )
    rows = table(measure(Planted(), drawn(planted), planted, file, CPU))
    p = rows[["p_count", "p_mass", "p_count_holm", "p_mass_holm"]]
    null = (rows["mask"] == "random") | (rows["level_percent"] == 100)
    assert (null.sum(), (~null).sum()) == (4 * 3, (2 + 4) * 3)
    assert p[null].isna().all(axis=None)
    assert p[~null].notna().all(axis=None)
    sizes = rows.groupby("family").size().to_dict()
    brightness = dict.fromkeys(product(("exact top", "exact bottom"), TASKS), 1)
    expected = brightness | dict.fromkeys(product(("ring",), TASKS), 4)
    of_none = {"": null.sum()}
    assert sizes == of_none | {f"raw/{kind}/{task}": n for (kind, task), n in expected.items()}
    assert (rows["family"] == "").equals(null)
    assert rows.loc[null, ["pis", "excess", "excess_mass"]].notna().all(axis=None)
    whole = rows[rows["level_percent"] == 100]
    assert whole["control_mass_fraction_mass"].tolist() == [1] * len(whole)


def test_tests_of_a_family_are_adjusted_together_and_apart_from_others(rows):
    for name, family in rows[rows["family"] != ""].groupby("family"):
        view, kind, task = name.split("/")
        rule, mask = kind.split()
        assert family[["view", "rule", "mask", "task"]].drop_duplicates().to_numpy().tolist() == [
            [view, rule, mask, task]
        ]
        for what in ("count", "mass"):
            expected = stats.holm(family[f"p_{what}"].to_numpy())
            assert family[f"p_{what}_holm"].tolist() == expected.tolist()
    top = of(rows, "exact", "top", 5)
    assert (top["p_count_holm"] < 1e-6).all()
    assert (top.loc[["modulation", "joint"], "p_mass_holm"] < 1e-6).all()
    assert (
        top.loc["snr", "p_mass_holm"] > 0.05
    )  # the planted SNR is the mass, whichever pixels hold it


def test_an_effect_is_found_in_its_family_that_all_tests_together_would_have_lost():
    """One ring of four costs 9 frames that its control leaves, beside 300 windows that cost none.

    p = 2 / 2^9 = .004: times four it is below .05, and times 304 it is above 1.
    """
    n, windows = 240, 300
    masks = [Mask("raw", "ring", str(i), None) for i in range(4)]
    masks += [Mask("raw", "window", str(i), None) for i in range(windows)]
    outcome = Outcome(masks, n)
    outcome.baseline = dict.fromkeys(TASKS, np.ones(n, bool))
    right = np.ones((len(masks), n), bool)
    planted = right.copy()
    planted[0, :9] = False
    for kind in KINDS:
        outcome.correct[kind] = dict.fromkeys(TASKS, planted if kind == "mask" else right)
        outcome.fraction[kind][:] = 0.1

    rows = table(outcome)
    found = rows[rows["p_count_holm"] < 0.05]
    assert found[["rule", "mask"]].drop_duplicates().to_numpy().tolist() == [["ring", "0"]]
    assert len(found) == len(TASKS)
    assert found["p_count_holm"].tolist() == pytest.approx(len(TASKS) * [4 * 2 / 2**9])
    of_joint = rows[rows["task"] == "joint"]
    assert stats.holm(of_joint["p_count"].to_numpy()).min() == 1

    # A family of 300 must lose more frames before it finds them.
    detectable = rows.groupby("rule")["detectable_count"].min()
    assert detectable["ring"] < detectable["window"] < 0.1


# The published protocol


def test_published_protocol_beside_ours(rows):
    both = published(rows)
    assert len(both) == 3 * len(LEVELS) * len(TASKS)
    row = both[
        (both["mask"] == "bottom") & (both["level_percent"] == 5) & (both["task"] == "snr")
    ].iloc[0]
    tied, exact = (of(rows, rule, "bottom", 5).loc["snr"] for rule in ("percentile", "exact"))
    # Half of the frames lose their SNR to ties of 12.5 of 20 pixels, where 5 % are one pixel that
    # matters to nobody.
    assert row["published_pis"] == pytest.approx(0.5 / 0.05)
    assert row["published_fraction_lit"] == pytest.approx(0.625)
    assert row["published_pis_realised"] == pytest.approx(0.5 / 0.625)
    assert row["exact_pis"] == 0
    assert row["exact_control_pis"] == exact["control_count_pis"] != tied["control_count_pis"]
    top = both[
        (both["mask"] == "top") & (both["level_percent"] == 5) & (both["task"] == "joint")
    ].iloc[0]
    assert top["exact_pis"] == pytest.approx(15)
    assert top["exact_pis_ci_low"] < 15 < top["exact_pis_ci_high"]
    assert top["p_count_holm"] == of(rows, "exact", "top", 5).loc["joint", "p_count_holm"] < 1e-6


@pytest.mark.parametrize("rule", ["exact", "percentile"])
def test_published_protocol_needs_both_rules(rows, rule):
    with pytest.raises(
        ValueError, match=rf"no mask of the rule {rule}; set perturb.rules to \[exact, percentile\]"
    ):
        published(rows[rows["rule"] != rule])
