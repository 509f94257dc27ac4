"""Blackout beside redraw, by models whose loss by each is known."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pisces.core import shards, stats
from pisces.core.paired import difference_interval
from pisces.core.shards import Cell
from pisces.core.tasks import TASKS
from pisces.inputs import rendering
from pisces.inputs.base import IQ_SHARDS, Input
from pisces.inputs.drawing import BinStore, Drawing
from pisces.inputs.settings import OtherViews
from pisces.inputs.waveform import Waveform
from pisces.models import Architecture
from pisces.models.modelfile import TrainedModel
from pisces.pis import redrawing, removal, removal_table, tables
from pisces.pis.masks import KINDS, Mask, build
from pisces.pis.redrawing import Redrawn
from pisces.pis.regions import ring_numbers
from pisces.pis.removal import Measured
from pisces.pis.settings import RemovalSettings
from pisces.pis.store import PerturbationPlan
from pisces.report import pis as pis_pictures
from pisces.report import pis_cells, pis_regions
from pisces.sources.synthesis import synthesize_cell
from pisces.truth import found
from tests.conftest import PERTURB, RENDER, SIZE, draw
from tests.figures import assert_printable
from tests.physics import physics

CPU = torch.device("cpu")
MODULATIONS, SNRS_DB, FRAMES = ("QPSK", "16QAM", "FM"), (-10, 20), 8
VIEWS = ("raw", "symbol", "noise")
RENDERED = replace(RENDER, views=VIEWS, samples=1024)
SYMBOL = VIEWS.index("symbol")
SETTINGS = replace(
    PERTURB,
    rules=("exact",),
    masks=("top", "random"),
    levels_percent=(25, 100),
    curve_percent=(),
    regions=("ring", "window"),
    rings=4,
    window=0.25,
    stride=0.75,
)
RANDOM, EVERYTHING = (Mask("symbol", "exact", "random", level) for level in (25, 100))
INNER, MIDDLE = Mask("symbol", "ring", "1", None), Mask("symbol", "ring", "2", None)
CORNER = Mask("symbol", "window", "0-0", None)
TOP = Mask("symbol", "exact", "top", 25)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A data set at 20 dB and at -10 dB, where the timing is not to be relied on."""
    folder = tmp_path_factory.mktemp("removal")
    world = physics(rolloff=(0.35, 0.35))
    for modulation, snr_db in product(MODULATIONS, SNRS_DB):
        cell = Cell(modulation, snr_db)
        iq = synthesize_cell(modulation, snr_db, range(FRAMES), world, seed=3)
        arrays = {"iq": iq.view(np.float32).reshape(FRAMES, -1, 2), "row": np.arange(FRAMES)}
        shards.save(cell.path(folder / IQ_SHARDS), arrays, cell._asdict())
    rendering.render(folder / IQ_SHARDS, folder / "constellations", RENDERED)
    return folder


@pytest.fixture(scope="module")
def data(root) -> BinStore:
    return BinStore(root / "constellations")


def plan_of(data: BinStore, modulations=("QPSK", "16QAM"), views=("symbol",)) -> PerturbationPlan:
    """All masks, of the clear frames of these modulations."""
    index = data.every_frame()
    wanted = [data.modulations.index(name) for name in modulations]
    index = index[np.isin(index[:, 0], wanted) & (index[:, 1] == SNRS_DB.index(20))]
    masks = tuple(build(views, SETTINGS, SIZE))
    return PerturbationPlan(index, masks, SETTINGS, 1, data.render)


def trained(data: BinStore, model: nn.Module, of_input: Input | None = None) -> TrainedModel:
    of_input = of_input or Drawing(data.render, draw("histogram"))
    architecture = Architecture("small_cnn", "plain", "standard")
    names = tuple(data.modulations)
    return TrainedModel(model, architecture, of_input, names, SNRS_DB)  # type: ignore[arg-type]


class Planted(nn.Module):
    """Class 1 where `is_second` says so of the counts of a view, else class 0; the SNR is right."""

    def __init__(self, view: int = SYMBOL):
        super().__init__()
        self.view = view

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        second = self.is_second(images[:, self.view].flatten(1))
        snr = torch.tensor([0.0, 1.0]).repeat(len(images), 1)
        return torch.stack([~second, second, torch.zeros_like(second)], 1).float(), snr

    def is_second(self, counts: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class SeesHoles(Planted):
    """The second class where a symbol is missing: all QPSK is right, as long as none is."""

    def is_second(self, counts):
        return counts.sum(1) < RENDERED.samples / RENDERED.sps - 8


class CountsInnerRing(Planted):
    """The second class, 16QAM, where five points and more lie in the innermost of four rings."""

    ring = torch.from_numpy(ring_numbers(np.arange(SIZE**2), SIZE, 4) == 1)

    def is_second(self, counts):
        return (counts[:, self.ring]).sum(1) >= 5


class ByHeart(Planted):
    """The first class of pictures that were seen before, else the second."""

    def __init__(self, seen: torch.Tensor, view: int = SYMBOL):
        super().__init__(view)
        self.seen = {picture.numpy().tobytes() for picture in seen}

    def is_second(self, counts):
        return torch.tensor([one.numpy().tobytes() not in self.seen for one in counts])


def redrawn(
    root: Path, data: BinStore, model: nn.Module, plan: PerturbationPlan, views: OtherViews = "held"
) -> Redrawn:
    return redrawing.measure(
        trained(data, model), root, data, plan, kinds=KINDS, other_views=views, device=CPU
    )


def measured(
    root: Path, data: BinStore, model: nn.Module, plan: PerturbationPlan, way: str, **more
) -> Measured:
    settings = {"fill": "zero", "other_views": "held", "redraw_frames_per_cell": None} | more
    chosen = RemovalSettings(removal=way, **settings)  # type: ignore[arg-type]
    return removal.measure(trained(data, model), root, data, plan, chosen, CPU)


def of_mask(rows: pd.DataFrame, mask: Mask, task: str = "modulation") -> pd.Series:
    """The row of a mask over all frames."""
    chosen = (rows["rule"] == mask.rule) & (rows["mask"] == mask.name) & (rows["view"] == mask.view)
    if mask.level_percent is not None:
        chosen &= rows["level_percent"] == mask.level_percent
    (row,) = rows[chosen & (rows["task"] == task) & rows["snr_db"].isna()].iloc
    return row


def seen(data: BinStore, plan: PerturbationPlan, view: int) -> torch.Tensor:
    drawing = Drawing(data.render, draw("histogram"))
    pictures = drawing.tensors(data.prepare(data.gather(plan.frame), CPU))
    return pictures[:, view].flatten(1)


def test_a_model_that_sees_holes_loses_by_blackout_alone(root, data):
    rows = measured(root, data, SeesHoles(), plan_of(data, ["QPSK"]), "both").compared
    for mask in (RANDOM, MIDDLE):
        row = of_mask(rows, mask)
        assert (row["blackout_drop"], row["redraw_drop"], row["hole"]) == (1, 0, 1)
        assert row["p_hole"] == 2 * 0.5**FRAMES  # all frames differ, one way
        assert row["likelihood_drop"] == 0


def test_a_model_of_a_rings_count_loses_it_by_blackout_and_keeps_it_by_redraw(root, data):
    """A region is drawn anew with as many symbols inside."""
    rows = measured(root, data, CountsInnerRing(), plan_of(data), "both").compared
    inner, middle = of_mask(rows, INNER), of_mask(rows, MIDDLE)
    assert (inner["blackout_drop"], inner["redraw_drop"]) == (0.5, 0)  # all of 16QAM
    assert inner["blackout_control_drop"] == inner["redraw_control_drop"] == 0
    assert inner["blackout_p"] == 2 * 0.5**FRAMES
    assert inner["redraw_p"] == 1
    assert (middle["blackout_drop"], middle["redraw_drop"]) == (0, 0)


def test_of_no_symbol_the_class_is_known_by_chance(root, data):
    """All symbols drawn anew: one of the two classes, whatever was sent."""
    row = of_mask(
        measured(root, data, CountsInnerRing(), plan_of(data), "both").compared, EVERYTHING
    )
    off_by_chance = 4 * np.sqrt(0.25 / (2 * FRAMES))
    assert row["redraw_drop"] == pytest.approx(0.5, abs=off_by_chance)
    assert row["likelihood_drop"] == 0.5  # it always names the first
    assert np.isnan(row["redraw_p"])


def test_a_model_that_knows_frames_by_heart_loses_by_both(root, data):
    plan = plan_of(data, ["QPSK"])
    rows = measured(root, data, ByHeart(seen(data, plan, SYMBOL)), plan, "both").compared
    for mask in (RANDOM, MIDDLE):
        row = of_mask(rows, mask)
        assert (row["blackout_drop"], row["redraw_drop"], row["hole"]) == (1, 1, 0)


def test_a_mask_that_touches_nothing_changes_no_prediction(root, data):
    plan = plan_of(data)
    new = redrawn(root, data, ByHeart(seen(data, plan, SYMBOL)), plan)
    corner = new.outcome.masks.index(CORNER)
    for task in TASKS:
        assert (new.outcome.correct["mask"][task][corner] == new.outcome.baseline[task]).all()
    assert (new.outcome.fraction["mask"][corner] == 0).all()


@pytest.mark.parametrize(("views", "drop"), [("held", 0), ("redrawn", 1)])
def test_other_views_are_held_or_change(root, data, views, drop):
    plan = plan_of(data, ["QPSK"])
    model = ByHeart(seen(data, plan, VIEWS.index("raw")), VIEWS.index("raw"))
    result = measured(root, data, model, plan, "both", other_views=views)
    assert of_mask(result.compared, MIDDLE)["redraw_drop"] == drop
    assert {"held": "other views held", "redrawn": "new samples"}[views] in result.redraw_note


def test_a_model_of_samples_is_given_new_ones(root, data):
    class SamplesByHeart(nn.Module):
        def forward(self, frames):
            known = torch.tensor(
                [bool((abs(frames_seen - one) < 1e-4).all((1, 2)).any()) for one in frames]
            )
            return torch.stack([known, ~known, ~known], 1).float(), torch.zeros(len(frames), 2)

    plan = plan_of(data, ["QPSK"])
    waveform = Waveform(1024)
    store = waveform.open(root)
    frames_seen = store.prepare(store.gather(plan.frame), CPU)
    model = trained(data, SamplesByHeart(), waveform)
    new = redrawing.measure(
        model, root, data, plan, kinds=("mask",), other_views="held", device=CPU
    )
    assert new.other_views == "redrawn"
    right = new.outcome.correct["mask"]["modulation"]
    assert new.outcome.baseline["modulation"].all()
    assert right[new.outcome.masks.index(CORNER)].all()
    assert not right[new.outcome.masks.index(MIDDLE)].any()


def test_what_is_refused_is_counted_and_never_blacked_out(root, data):
    everything = plan_of(data, MODULATIONS, ("symbol", "noise"))
    plan = replace(everything, frame=data.every_frame())
    result = measured(root, data, SeesHoles(), plan, "both")
    rows = result.compared
    row = of_mask(rows, TOP)
    assert row["n"] == 2 * FRAMES  # clear, with points
    assert row["frames_refused"] == 4 * FRAMES
    assert f"{2 * FRAMES} {found.LOW_SNR}" in row["frames_refused_why"]
    assert f"{2 * FRAMES} {found.NO_POINTS}" in row["frames_refused_why"]

    assert row["blackout_drop"] == 0.0  # half of the frames are lost, the other half is won
    assert np.isnan(row["redraw_drop"])
    assert "closed form" in row["refused"]
    noise = of_mask(rows, Mask("noise", "ring", "1", None))
    assert "no symbols" in noise["refused"]
    assert of_mask(rows, MIDDLE)["refused"] == ""
    refused = [mask for mask in plan.masks if mask.view == "noise" or mask.name == "top"]
    assert f"{len(refused)} masks refused" in result.redraw_note
    assert f"{2 * FRAMES} frames refused: {found.LOW_SNR}" in result.redraw_note


def test_the_same_frames_give_the_same_predictions_whatever_else_is_asked(root, data):
    plan = plan_of(data)
    whole, again = (redrawn(root, data, CountsInnerRing(), plan) for _ in range(2))
    for kind in KINDS:
        for task in TASKS:
            one, other = (new.outcome.correct[kind][task] for new in (whole, again))
            assert one.tobytes() == other.tobytes()

    few = replace(plan, masks=(EVERYTHING,), frame=plan.frame[::2])
    of_few = redrawn(root, data, CountsInnerRing(), few).outcome.correct["mask"]["modulation"]
    at = whole.outcome.masks.index(EVERYTHING)
    assert (of_few[0] == whole.outcome.correct["mask"]["modulation"][at, ::2]).all()


def test_intervals_and_tests_are_those_of_paired_predictions(root, data):
    plan = plan_of(data)
    model = ByHeart(seen(data, plan, SYMBOL)[::2])
    result = measured(root, data, model, plan, "both")
    new = redrawn(root, data, model, plan)
    number = new.outcome.masks.index(INNER)
    before = new.outcome.baseline["modulation"]
    after, control = (
        new.outcome.correct[kind]["modulation"][number] for kind in ("mask", "control_mass")
    )
    row = of_mask(result.compared, INNER)
    low, high = difference_interval((before & ~after).sum(), (after & ~before).sum(), len(after))
    assert [row["redraw_drop_ci_low"], row["redraw_drop_ci_high"]] == pytest.approx(
        [float(low), float(high)]
    )
    assert row["redraw_excess"] == pytest.approx(control.mean() - after.mean())
    assert row["redraw_p"] == stats.mcnemar(after, control)

    rings = result.compared[result.compared["family"] == "symbol/ring/modulation"]
    assert len(rings) == 4
    adjusted = stats.holm(rings["redraw_p"].to_numpy())
    assert rings["redraw_p_holm"].tolist() == pytest.approx(adjusted.tolist(), nan_ok=True)
    assert rings["blackout_rank"].min() == 1


def test_rows_by_label_are_those_of_its_frames(root, data):
    rows = measured(root, data, SeesHoles(), plan_of(data, ["QPSK"]), "both").compared
    of_label = rows[rows["snr_db"] == 20]
    assert set(of_label["refused"]) == {""}
    assert of_label["family"].str.endswith("/by SNR label").all()
    (row,) = of_label[(of_label["rule"] == "ring") & (of_label["mask"] == "2")].iloc[:1].iloc
    assert (row["blackout_drop"], row["redraw_drop"], row["n"]) == (1, 0, FRAMES)


def test_controls_take_as_many_symbols_blind_to_their_values(root, data):
    new = redrawn(root, data, SeesHoles(), plan_of(data))
    mass = redrawing.MASS
    taken = {kind: new.outcome.fraction[kind][:, mass] for kind in KINDS}
    assert (taken["control_mass"] == taken["mask"]).all()


def test_by_redraw_alone_the_tables_are_those_of_redraw(root, data):
    result = measured(root, data, SeesHoles(), plan_of(data, ["QPSK"]), "redraw")
    assert TOP not in result.outcome.masks
    assert len(result.frame) == FRAMES
    rows = tables.every_table(result.outcome, result.frame, data, (25,))["pis"]
    assert (rows["accuracy_drop"] == 0).all()
    assert "redrawn" in result.note
    compared = of_mask(result.compared, MIDDLE)
    assert compared["redraw_drop"] == 0
    assert np.isnan(compared["blackout_drop"])


def test_by_redraw_alone_all_pictures_of_scores_can_be_drawn(root, data):
    """Though no mask takes the brightest pixels, and none is of another view."""
    result = measured(root, data, SeesHoles(), plan_of(data), "redraw")
    found_tables = tables.every_table(result.outcome, result.frame, data, (25, 100))
    rows = found_tables["pis"]
    by_cell = [found_tables[f"pis_by_{name}"] for name in ("cell", "modulation", "snr")]
    extents = dict.fromkeys(VIEWS, 2.0)
    for figure in (
        pis_pictures.scores(rows),
        pis_pictures.degradation(rows, dict.fromkeys(TASKS, 0.5), (3, 2)),
        pis_regions.regions(rows, pis_regions.Images(SIZE, extents, SETTINGS.window)),
        pis_cells.heatmap(pis_cells.Scores(*by_cell, rows)),
    ):
        assert_printable(figure)


def test_by_blackout_alone_nothing_is_compared(root, data):
    result = measured(root, data, SeesHoles(), plan_of(data, ["QPSK"]), "blackout")
    assert list(result.compared) == list(removal_table.COLUMNS)
    assert len(result.compared) == 0
    assert TOP in result.outcome.masks


@pytest.mark.parametrize(
    ("modulations", "views", "why"),
    [
        (["FM"], ("symbol",), found.NO_POINTS),
        (["QPSK"], ("noise",), "masks refused.*noise are no symbols"),
    ],
)
def test_where_nothing_can_be_redrawn_both_says_so_and_redraw_is_refused(
    root, data, modulations, views, why
):
    plan = plan_of(data, modulations, views)
    both = measured(root, data, SeesHoles(), plan, "both")
    assert len(both.compared) == 0
    assert len(both.outcome.masks) == len(plan.masks)
    with pytest.raises(
        ValueError, match=rf"nothing can be redrawn: .*({why}).*; set it to blackout"
    ):
        measured(root, data, SeesHoles(), plan, "redraw")


def test_few_frames_of_each_cell_are_redrawn_where_so_is_asked(root, data):
    plan = plan_of(data)
    result = measured(root, data, SeesHoles(), plan, "both", redraw_frames_per_cell=2)
    assert of_mask(result.compared, MIDDLE)["n"] == 4
    assert len(result.frame) == 2 * FRAMES
