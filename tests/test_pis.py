"""Scores of models whose answers hang on known pixels, in closed form; and intervals that mean what they say."""

import json
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pisces import pis
from pisces.datasets import Constellations
from pisces.perturbation import KINDS, Mask, Perturbations, masks, perturb
from pisces.pis import TASKS, Outcome, measure, realised_fractions, score, table
from pisces.rendering import OUTSIDE, Drawing
from pisces.seeding import generator
from pisces.shards import Cell
from tests.conftest import RENDER, SIZE, draw, raw_only, save_bins

CPU = torch.device("cpu")
KEY_PIXEL = 27
FRAMES = 60  # a cell


DRAWING = Drawing(raw_only(8), draw("histogram"))


def rng() -> np.random.Generator:
    return generator(1, "test pis")


class Counted(nn.Module):
    """Counts how often it is asked, and looks at one channel of the images, or a slice of them."""

    def __init__(self, channel: int | slice = 0):
        super().__init__()
        self.channel, self.calls = channel, 0

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls += 1
        return self.answer(images[:, self.channel].flatten(1))


class Planted(Counted):
    """Second modulation if the key pixel is lit; second SNR if there are more than 55 samples."""

    def answer(self, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        lit, heavy = counts[:, KEY_PIXEL] > 0, counts.sum(1) > 55
        return torch.stack([~lit, lit], 1).float(), torch.stack([~heavy, heavy], 1).float()


class Constant(Counted):
    def answer(self, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor([0.0, 1.0]).repeat(len(counts), 1), torch.tensor([1.0, 0.0]).repeat(len(counts), 1)


class Linear(Counted):
    """Random weights over the pixels of all views: sensitive to all of them, in no particular way."""

    def __init__(self):
        super().__init__(slice(None))
        self.weights = torch.from_numpy(generator(1, "test linear").normal(size=(2, 4 * SIZE * SIZE, 3)).astype(np.float32))

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
    assert score(before - after, fraction) == pytest.approx(published, abs=0.5e-4 + 1e-7 / fraction)


def test_score_of_nothing_taken_is_undefined():
    assert np.isnan(score(0.0, 0.0))
    assert score(-0.02, 0.05) == pytest.approx(-0.4)


def test_realised_fractions_by_hand():
    """One of two lit pixels with 3 of 4 samples, and a dark pixel, of 4; nothing; a dark frame that loses a dark pixel."""
    counts = np.array([[0, 1, 3, 0], [2, 2, 0, 0], [0, 0, 0, 0]], np.float32)
    fractions = realised_fractions(counts, np.array([2, 3, 1], np.uint16), np.array([0, 2, 2, 3]))
    assert fractions.tolist() == [[2 / 4, 0, 1 / 4], [1 / 2, 0, 0], [3 / 4, 0, 0]]


def outcome_of(before: dict[str, np.ndarray], after: dict[str, dict[str, np.ndarray]], mask: Mask, fraction: float) -> Outcome:
    """One mask's outcome, `after` being kind -> task -> (n,) bool, with the same fraction in every frame."""
    n = len(before["joint"])
    outcome = Outcome([mask], n)
    outcome.baseline = before
    for kind in KINDS:
        outcome.correct[kind] = {task: values[None] for task, values in after[kind].items()}
        outcome.fraction[kind][:] = fraction
    return outcome


def test_published_scores_from_answers():
    """The published accuracies are whole numbers of the 111 412 test frames; taking 5.5 % of the lit pixels, they score less."""
    n = 111_412

    def first(modulation: float, snr: float, joint: float) -> dict[str, np.ndarray]:
        return {task: np.arange(n) < round(share * n) for task, share in zip(TASKS, (modulation, snr, joint), strict=True)}

    before, after = first(0.7639033, 0.6870894, 0.5125660), first(0.7203712, 0.5805479, 0.3950382)
    outcome = outcome_of(before, dict.fromkeys(KINDS, after), Mask("raw", "percentile", "top", 1.0), 0.055)
    rows = table(outcome, 10, rng()).set_index("task")
    assert rows["pis_nominal"][list(TASKS)].tolist() == pytest.approx([4.3532, 10.6541, 11.7528], abs=0.7e-4)
    assert rows["pis"][list(TASKS)].tolist() == pytest.approx([4.3532 / 5.5, 10.6541 / 5.5, 11.7528 / 5.5], abs=0.2e-4)
    assert rows["n"].tolist() == [n] * 3


# A planted model


@pytest.fixture(scope="module")
def planted(tmp_path_factory, write_constellations) -> Constellations:
    """2 modulations x 2 SNRs on 8 x 8 pixels, 20 of them lit, each frame with one brightest: 10 samples, the others at most 3.

    Frames of the second modulation have it in the key pixel, of the first never there; 60 samples are inside at the second SNR and
    30 at the first. So the planted model is always right, until the brightest pixel goes.
    """
    cells = {}
    for m, modulation in enumerate(("BPSK", "QPSK")):
        for s, snr_db in enumerate((0, 10)):
            others = [3] * 12 + [2] * 7 if s else [2] + [1] * 18
            bins = np.full((FRAMES, 60), OUTSIDE, np.uint16)
            for frame in range(FRAMES):
                free = generator(1, "test planted", m, s, frame).permutation(np.delete(np.arange(64), KEY_PIXEL))[:20]
                brightest, rest = (KEY_PIXEL, free[1:]) if m else (free[0], free[1:])
                inside = np.concatenate([np.full(10, brightest), np.repeat(rest, others)])
                bins[frame, : len(inside)] = inside
            cells[Cell(modulation, snr_db)] = bins
    return Constellations(write_constellations(tmp_path_factory.mktemp("planted"), cells, 8))


@pytest.fixture(scope="module")
def everything(planted, tmp_path_factory) -> Perturbations:
    """All masks of 5 and 20 % (1 and 4 of 20 pixels), for every frame."""
    index = np.array([[m, s, frame] for m in (0, 1) for s in (0, 1) for frame in range(FRAMES)])
    path = tmp_path_factory.mktemp("pis") / "perturbations.h5"
    perturb(planted, index, masks(("raw",), ("exact", "percentile"), ("top", "bottom", "random"), (5, 20)), 1, path)
    return Perturbations(path)


@pytest.fixture(scope="module")
def outcome(planted, everything) -> Outcome:
    return measure(Planted(), DRAWING, planted, everything, CPU)


@pytest.fixture(scope="module")
def rows(outcome) -> pd.DataFrame:
    return table(outcome, 500, rng())


def of(rows: pd.DataFrame, rule: str, mask: str, level: float) -> pd.DataFrame:
    """Rows of one mask by task."""
    return rows[(rows["rule"] == rule) & (rows["mask"] == mask) & (rows["level_percent"] == level)].set_index("task")


def test_planted_pixel_scores_what_it_must(outcome, rows):
    """Top 5 % is the brightest pixel: half of the frames lose their modulation, half their SNR, three quarters one or both."""
    assert pis.baseline(outcome) == dict.fromkeys(TASKS, 1.0)
    top = of(rows, "exact", "top", 5)
    assert top.loc[list(TASKS), "accuracy"].tolist() == [0.5, 0.5, 0.25]
    assert top.loc[list(TASKS), "accuracy_drop"].tolist() == [0.5, 0.5, 0.75]
    assert top["fraction_lit"].tolist() == pytest.approx([1 / 20] * 3)
    assert top["fraction_all"].tolist() == pytest.approx([1 / 64] * 3)
    assert top["fraction_mass"].tolist() == pytest.approx([(10 / 60 + 10 / 30) / 2] * 3)
    assert top.loc[list(TASKS), "pis"].tolist() == pytest.approx([10, 10, 15])
    assert of(rows, "exact", "top", 20).loc[list(TASKS), "pis"].tolist() == pytest.approx([2.5, 2.5, 3.75])


def test_pixels_that_the_model_ignores_score_nothing(rows):
    """Bottom 5 % is one of the dimmest pixels, of at most two samples."""
    bottom = of(rows, "exact", "bottom", 5)
    assert (bottom[["pis", "pis_ci_low", "pis_ci_high", "pis_nominal"]] == 0).all(axis=None)
    assert (bottom["excess"] <= 0).all()


def test_planted_pixel_ranks_first(rows):
    exact = rows[rows["rule"] == "exact"]
    for task in TASKS:
        assert exact.loc[exact.loc[exact["task"] == task, "pis"].idxmax(), ["mask", "level_percent"]].tolist() == ["top", 5]
    top = of(rows, "exact", "top", 5)
    assert (top["excess_ci_low"] > 5).all()


@pytest.mark.parametrize(("name", "kind"), [("random", "mask"), ("top", "control_count"), ("bottom", "control_mass")])
def test_random_masks_score_as_often_as_they_hit(everything, planted, rows, name, kind):
    """The modulation is lost where the list holds the key pixel and a frame of the second modulation; counted in the file."""
    mask = Mask("raw", "exact", name, 20.0)
    pixels, offsets = everything.pixels(mask, kind, 0, 4 * FRAMES)
    hits = [KEY_PIXEL in pixels[a:b] and m == 1 for (a, b), m in zip(pairwise(offsets), everything.frame[:, 0], strict=True)]
    counts = np.stack([np.bincount(b[b < 64], minlength=64) for b in planted.bins(everything.frame)])
    fraction = realised_fractions(counts, pixels, offsets)[1].mean()
    row = of(rows, "exact", name, 20).loc["modulation"]
    assert row["pis" if kind == "mask" else f"{kind}_pis"] == pytest.approx(np.mean(hits) / fraction)
    # Where 4 of 20 pixels are taken, half of the frames are hit with probability 1/5: 0.5 * 0.2 / 0.2.
    if kind != "control_mass":
        assert fraction == pytest.approx(0.2)
        assert np.mean(hits) == pytest.approx(0.1, abs=5 * np.sqrt(0.2 * 0.8 / 120) / 2)
    assert any(hits)


def test_excess_is_over_the_count_control_and_that_of_a_random_mask_covers_zero(rows):
    assert rows["excess"].tolist() == pytest.approx((rows["pis"] - rows["control_count_pis"]).tolist())
    random = rows[(rows["mask"] == "random") & (rows["rule"] == "exact")]
    assert (random["pis"] > 0).all()
    assert (random["excess_ci_low"] <= 0).all()
    assert (random["excess_ci_high"] >= 0).all()


def test_a_constant_model_scores_zero(planted, everything):
    outcome = measure(Constant(), DRAWING, planted, everything, CPU)
    assert pis.baseline(outcome) == {"modulation": 0.5, "snr": 0.5, "joint": 0.25}
    scores = table(outcome, 100, rng())[["pis", "pis_ci_low", "pis_ci_high", "pis_nominal", "control_count_pis", "control_mass_pis"]]
    assert (scores == 0).all(axis=None)


def test_nominal_and_realised_scores_share_the_drop(rows):
    drop = rows["accuracy_drop"]
    assert (rows["pis"] * rows["fraction_lit"]).tolist() == pytest.approx(drop.tolist())
    assert (rows["pis_nominal"] * rows["level_percent"] / 100).tolist() == pytest.approx(drop.tolist())
    exact = rows[rows["rule"] == "exact"]
    assert exact["pis_nominal"].tolist() == pytest.approx(exact["pis"].tolist())  # 20 lit pixels: 5 and 20 % are whole numbers of them
    # By the published rule, bottom 5 % of 18 ones, a two and a ten, or 7 twos, 12 threes and a ten, is every tied one: 12.5 of 20.
    tied = of(rows, "percentile", "bottom", 5)
    assert tied["fraction_lit"].tolist() == pytest.approx([(18 + 7) / 2 / 20] * 3)
    assert tied.loc["snr", "pis_nominal"] == pytest.approx(tied.loc["snr", "pis"] * 0.625 / 0.05)
    assert tied.loc["snr", "accuracy_drop"] == 0.5


def test_equal_masks_are_run_once(planted, everything):
    """All 240 frames are one batch. Exact masks of one level share their count control, and a tie makes bottom 5 and 20 % one mask."""
    lists = {
        tuple(values.tobytes() for values in everything.pixels(mask, kind, 0, 4 * FRAMES)) for mask in everything.masks for kind in KINDS
    }
    model = Planted()
    measure(model, DRAWING, planted, everything, CPU)
    assert model.calls == 1 + len(lists)
    # 36 lists but for two controls at each exact level, and the mask and both controls of percentile bottom 20 %.
    assert len(lists) <= 36 - 4 - 3


def test_no_frame_is_left_out(outcome, everything):
    """Every mask but the published random one, which may miss, takes lit pixels of every frame, and so does its count control."""
    never_misses = [i for i, mask in enumerate(everything.masks) if mask[1:3] != ("percentile", "random")]
    assert len(never_misses) == 10
    for kind in ("mask", "control_count"):
        assert outcome.fraction[kind].shape == (12, 3, 4 * FRAMES)
        assert (outcome.fraction[kind][never_misses] > 0).all()


@pytest.mark.parametrize("batch", [7, 100])
def test_batch_size_does_not_matter(planted, everything, outcome, monkeypatch, batch):
    monkeypatch.setattr(pis, "BATCH", batch)
    again = measure(Planted(), DRAWING, planted, everything, CPU)
    for kind in KINDS:
        assert np.array_equal(again.fraction[kind], outcome.fraction[kind])
        for task in TASKS:
            assert np.array_equal(again.correct[kind][task], outcome.correct[kind][task])
            assert np.array_equal(again.baseline[task], outcome.baseline[task])
    assert table(again, 50, rng()).equals(table(outcome, 50, rng()))


def test_joint_is_never_above_either_task(data, index, tmp_path):
    perturb(data, index, masks(("raw", "noise"), ("exact", "percentile"), ("top", "bottom"), (5,)), 1, tmp_path / "p.h5")
    outcome = measure(Linear(), Drawing(RENDER, draw("histogram")), data, Perturbations(tmp_path / "p.h5"), CPU)
    for right in (outcome.baseline, *outcome.correct.values()):
        assert np.array_equal(right["joint"], right["modulation"] & right["snr"])
        assert right["joint"].any()
        assert not right["modulation"].all()
    accuracy = table(outcome, 10, rng()).pivot(index=["view", "rule", "mask"], columns="task", values="accuracy")
    assert (accuracy["joint"] <= accuracy[["modulation", "snr"]].min(axis=1)).all()
    assert accuracy.to_numpy().min() < accuracy.to_numpy().max()


# Several views


LEVELS = (5, 20)


@pytest.fixture(scope="module")
def paired(planted, tmp_path_factory) -> Constellations:
    """The planted frames as `raw`, behind a view of other points: 40 or so on other pixels, now and then on the key one."""
    root = tmp_path_factory.mktemp("paired")
    for (m, modulation), (s, snr_db) in product(enumerate(planted.modulations), enumerate(planted.snrs_db)):
        index = np.array([[m, s, frame] for frame in range(FRAMES)])
        symbol = generator(1, "test paired", m, s).poisson(12, (FRAMES, 40)) + np.arange(40) // 20 * 25
        save_bins(root, Cell(modulation, snr_db), {"symbol": symbol, "raw": planted.bins_by_view(index)[0]}, 8)
    return Constellations(root)


@pytest.fixture(scope="module")
def of_both(paired, everything, tmp_path_factory) -> Perturbations:
    path = tmp_path_factory.mktemp("both") / "perturbations.h5"
    perturb(paired, everything.frame, masks(("raw", "symbol"), ("exact", "percentile"), ("top", "bottom", "random"), LEVELS), 1, path)
    return Perturbations(path)


def drawn_as(data: Constellations) -> Drawing:
    return Drawing(data.render, draw("histogram"))


@pytest.fixture(scope="module")
def looks_at_raw(paired, of_both) -> Outcome:
    return measure(Planted(channel=1), drawn_as(paired), paired, of_both, CPU)


def test_a_view_that_the_model_does_not_look_at_scores_nothing(looks_at_raw):
    rows = table(looks_at_raw, 100, rng())
    assert rows.groupby("view", sort=False).size().to_dict() == {"raw": 36, "symbol": 36}
    of_view = {view: part.drop(columns="view") for view, part in rows.groupby("view")}
    scores = ["pis", "pis_ci_low", "pis_ci_high", "pis_nominal", "control_count_pis", "control_mass_pis", "excess"]
    assert (of_view["symbol"][scores] == 0).all(axis=None)
    assert (of_view["symbol"]["fraction_lit"] > 0).all()
    assert of(of_view["raw"], "exact", "top", 5).loc[list(TASKS), "pis"].tolist() == pytest.approx([10, 10, 15])


def test_scores_of_a_view_do_not_depend_on_which_others_are_rendered_or_masked(outcome, looks_at_raw):
    """The same frames, one view and twelve masks or two views and twenty-four."""
    assert looks_at_raw.masks[:12] == outcome.masks
    for task in TASKS:
        assert np.array_equal(looks_at_raw.baseline[task], outcome.baseline[task])
    for kind in KINDS:
        assert np.array_equal(looks_at_raw.fraction[kind][:12], outcome.fraction[kind])
        for task in TASKS:
            assert np.array_equal(looks_at_raw.correct[kind][task][:12], outcome.correct[kind][task])


def test_fractions_are_of_the_view_of_the_mask(paired, of_both, looks_at_raw):
    for v, view in enumerate(paired.render.views):
        bins = paired.bins_by_view(of_both.frame)[v]
        counts = np.stack([np.bincount(row[row != OUTSIDE], minlength=64) for row in bins])
        of_view = [i for i, mask in enumerate(of_both.masks) if mask.view == view]
        assert len(of_view) == 12
        for i, kind in product(of_view, KINDS):
            expected = realised_fractions(counts, *of_both.pixels(of_both.masks[i], kind, 0, len(counts)))
            assert np.array_equal(looks_at_raw.fraction[kind][i], expected)


class Watcher(Constant):
    """Keeps what it is shown."""

    def __init__(self):
        super().__init__()
        self.shown: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.shown.append(images.clone())
        return super().forward(images)


def test_masks_and_controls_take_the_listed_pixels_of_their_own_view_and_no_others(paired, everything, tmp_path):
    chosen = [Mask("symbol", "exact", "top", 20), Mask("raw", "exact", "random", 20)]
    perturb(paired, everything.frame, chosen, 1, tmp_path / "p.h5")
    file, model = Perturbations(tmp_path / "p.h5"), Watcher()
    measure(model, drawn_as(paired), paired, file, CPU)
    whole, *perturbed = (images.flatten(2).numpy() for images in model.shown)  # (n, views, pixels)
    assert len(perturbed) == 6  # no two lists are equal
    for images, (kind, mask) in zip(perturbed, product(KINDS, chosen), strict=True):
        pixels, offsets = file.pixels(mask, kind, 0, len(whole))
        expected = whole.copy()
        for frame, (a, b) in enumerate(pairwise(offsets)):
            expected[frame, paired.render.views.index(mask.view), pixels[a:b]] = 0
        assert np.array_equal(images, expected)
        assert (expected != whole).any()


def test_equal_lists_of_two_views_are_two_questions(paired, everything, tmp_path):
    """The published random mask draws from all pixels: of 64, 100 % is the same list in both views."""
    whole = [Mask(view, "percentile", "random", 100) for view in ("symbol", "raw")]
    perturb(paired, everything.frame, whole, 1, tmp_path / "p.h5")
    file = Perturbations(tmp_path / "p.h5")
    outcome = measure(Planted(channel=1), drawn_as(paired), paired, file, CPU)
    assert np.array_equal(*(file.pixels(mask, "mask", 0, 4 * FRAMES)[0] for mask in whole))
    assert outcome.correct["mask"]["joint"].mean(axis=1).tolist() == [1.0, 0.25]


def test_headline_names_the_view(looks_at_raw):
    headline = pis.headline(table(looks_at_raw, 20, rng()))
    assert list(headline) == [
        f"{view}_{name}_{level:g}" for view in ("raw", "symbol") for name in ("top", "bottom", "random") for level in LEVELS
    ]
    assert headline["raw_top_5"]["joint_pis"] == pytest.approx(15)
    assert headline["symbol_top_5"]["joint_pis"] == 0


# Intervals


def simulated(n: int, before: np.ndarray, flips: dict[str, float], stream: np.random.Generator) -> Outcome:
    """An outcome in which each kind changes each frame's answers, right or wrong, with a probability of its own."""
    after = {kind: dict.fromkeys(TASKS, before ^ (stream.random(n) < flips[kind])) for kind in KINDS}
    return outcome_of(dict.fromkeys(TASKS, before), after, Mask("raw", "exact", "random", 5.0), 0.05)


def test_intervals_are_paired():
    """Half of the answers are right, and 2 % change: the drop scatters by sqrt(.02 / n), not by the sqrt(2 / 4 / n) of two samples."""
    n, stream = 4000, generator(1, "test paired")
    outcome = simulated(n, stream.random(n) < 0.5, dict.fromkeys(KINDS, 0.02), stream)
    row = table(outcome, 4000, rng()).iloc[0]
    width = row["pis_ci_high"] - row["pis_ci_low"]
    changed = np.mean(outcome.baseline["joint"] != outcome.correct["mask"]["joint"][0])
    paired = 2 * 1.96 * np.sqrt((changed - row["accuracy_drop"] ** 2) / n) / 0.05
    # Each end scatters by 2.67 sigma / sqrt(resamples), as in test_metrics, and steps by 1 / (0.05 n).
    assert width == pytest.approx(paired, abs=5 * np.sqrt(2) * 2.67 * paired / 3.92 / np.sqrt(4000) + 2 / (0.05 * n))
    assert width < 0.3 * 2 * 1.96 * np.sqrt(0.5 / n) / 0.05
    assert row["pis_ci_low"] < row["pis"] < row["pis_ci_high"]


def test_intervals_of_score_and_excess_cover_the_truth_as_often_as_they_say():
    """The mask breaks and mends 10 % of the answers, the control 20 %: of 70 % right ones, 4 and 8 % are lost."""
    n, repeats, stream = 300, 150, generator(1, "test coverage")
    covered = np.zeros(2)
    for _ in range(repeats):
        flips = {"mask": 0.1, "control_count": 0.2, "control_mass": 0.1}
        row = table(simulated(n, stream.random(n) < 0.7, flips, stream), 200, stream).iloc[0]
        truth = {"pis": 0.04 / 0.05, "excess": (0.04 - 0.08) / 0.05}
        covered += [row[f"{name}_ci_low"] <= true <= row[f"{name}_ci_high"] for name, true in truth.items()]
    # Five standard errors of the simulation; 200 resamples find the 2.5 % quantile to +-1.1 %, which costs under 0.01.
    assert covered / repeats == pytest.approx([0.95, 0.95], abs=5 * np.sqrt(0.95 * 0.05 / repeats) + 0.01)


def test_bootstrap_in_chunks_is_the_same(outcome, rows, monkeypatch):
    monkeypatch.setattr(pis, "BOOTSTRAP_CHUNK", 10_000)  # 41 of 500 resamples of 240 frames
    pd.testing.assert_frame_equal(table(outcome, 500, rng()), rows)


# Tables


def test_grouped_table_is_the_table_of_each_subset(planted, everything, outcome):
    groups = pis.groups(everything.frame, planted)
    assert [name for _, name in groups.values()] == ["modulation", "snr_db"]
    assert groups["modulation"][0].tolist() == ["BPSK"] * 120 + ["QPSK"] * 120
    assert groups["snr"][0].tolist() == 2 * ([0] * 60 + [10] * 60)
    values, name = groups["modulation"]
    grouped = pis.grouped_table(outcome, values, name, 50, rng())
    stream = rng()
    for value in ("BPSK", "QPSK"):
        part = grouped[grouped["modulation"] == value].drop(columns="modulation").reset_index(drop=True)
        pd.testing.assert_frame_equal(part, table(outcome.of(values == value), 50, stream))
        assert set(part["n"]) == {120}
    top = grouped[(grouped["mask"] == "top") & (grouped["rule"] == "exact") & (grouped["level_percent"] == 5)]
    assert top[["modulation", "task", "pis"]].to_numpy().tolist() == [
        *(["BPSK", task, pytest.approx(score)] for task, score in zip(TASKS, (0, 10, 10), strict=True)),
        *(["QPSK", task, pytest.approx(score)] for task, score in zip(TASKS, (20, 10, 20), strict=True)),
    ]


def test_headline_holds_joint_scores_of_the_exact_rule_and_is_json(rows):
    headline = pis.headline(rows)
    ends = (rows["level_percent"].min(), rows["level_percent"].max())
    assert list(headline) == [f"raw_{name}_{level:g}" for name in ("top", "bottom", "random") for level in dict.fromkeys(ends)]
    top = of(rows, "exact", "top", 5).loc["joint"]
    expected = {"joint_pis": 15, "ci_low": top["pis_ci_low"], "ci_high": top["pis_ci_high"]}
    expected |= {name: top[name] for name in ("excess", "excess_ci_low", "excess_ci_high")}
    assert headline["raw_top_5"] == pytest.approx(expected)
    assert json.loads(json.dumps(headline, allow_nan=False)) == headline
    percentile = pis.headline(rows[rows["rule"] == "percentile"])
    assert percentile["raw_bottom_5"]["joint_pis"] == of(rows, "percentile", "bottom", 5).loc["joint", "pis"]


def test_a_mask_that_takes_nothing_has_no_score_and_no_headline(planted, tmp_path):
    """1 % of 20 lit pixels rounds to none."""
    perturb(
        planted, np.array([[1, 1, frame] for frame in range(FRAMES)]), masks(("raw",), ("exact",), ("top",), (1, 5)), 1, tmp_path / "p.h5"
    )
    rows = table(measure(Planted(), DRAWING, planted, Perturbations(tmp_path / "p.h5"), CPU), 20, rng())
    nothing = of(rows, "exact", "top", 1)
    assert nothing["pis"].isna().all()
    assert nothing["excess"].isna().all()
    assert (nothing["accuracy_drop"] == 0).all()
    assert list(pis.headline(rows)) == ["raw_top_5"]


def test_every_answer_is_written(outcome, everything, tmp_path):
    for name in ("a.npz", "b.npz"):
        pis.write_outcome(tmp_path / name, outcome, everything.frame)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as file:
        assert file["masks"].tolist() == [mask.key for mask in outcome.masks]
        assert np.array_equal(file["frame"], everything.frame)
        for task in TASKS:
            assert np.array_equal(file[f"{task}_baseline"], outcome.baseline[task])
            for kind in KINDS:
                assert np.array_equal(file[f"{task}_{kind}"], outcome.correct[kind][task])
        assert file["fraction_mask"] == pytest.approx(outcome.fraction["mask"], abs=1e-7)


def test_a_score_whose_interval_is_undefined_has_no_headline(rows):
    """So few frames give up a pixel that some resample has none of them."""
    rows = rows.copy()
    joint = (rows["task"] == "joint") & (rows["rule"] == "exact") & (rows["mask"] == "top")
    rows.loc[joint & (rows["level_percent"] == 5), "excess_ci_low"] = np.nan
    assert "raw_top_5" not in pis.headline(rows)
    assert "raw_bottom_5" in pis.headline(rows)
    json.dumps(pis.headline(rows), allow_nan=False)
