"""All rankings on one scale: is what ignores the model found out, and what follows it not?"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pisces import models
from pisces.attribution import compare, controls, mask_drops, method_measures, methods, sanity
from pisces.attribution.controls import ControlModel
from pisces.attribution.examples import examples
from pisces.attribution.explained_model import ExplainedModel, attributed_scores, predict_batch
from pisces.attribution.faithfulness import CURVES
from pisces.attribution.mask_drops import MaskDrops
from pisces.attribution.method_measures import MethodMeasures
from pisces.attribution.methods import Method
from pisces.attribution.settings import AttributionSettings
from pisces.core import files
from pisces.core.tasks import HEADS
from pisces.inputs.drawing import BinStore, Drawing, DrawingProber
from pisces.inputs.waveform import Waveform
from pisces.models import Architecture
from pisces.models.cldnn import Settings
from pisces.models.modelfile import TrainedModel
from pisces.pis import masks
from pisces.pis.brightness import exact_size
from pisces.pis.store import PerturbationPlan
from tests.conftest import PERTURB, SAMPLES, draw

CPU = torch.device("cpu")
ARCHITECTURE = Architecture("resnet18", "plain", "standard")
SETTINGS = AttributionSettings(
    methods=("integrated_gradients", "occlusion"),
    frames_per_cell=1,
    layer="auto",
    ig_steps=3,
    ig_tolerance=math.inf,
    ig_most_steps=0,
    window=0.25,
    stride=0.25,
    rise_masks=4,
    rise_cells=4,
    rise_keep=0.5,
    shapley_permutations=4,
    levels_percent=(10, 50, 100),
    infidelity_samples=4,
    masked_frames_per_cell=2,
    checked_frames=4,
    sensitivity_radius=0.1,
    sensitivity_samples=1,
    randomised_steps=2,
    shuffled_frames=18,
    shuffled_epochs=1,
    resamples=100,
)
METHODS = ("integrated_gradients", "occlusion", "brightness", "random")
MASKS = replace(
    PERTURB,
    rules=("exact",),
    levels_percent=(1, 5),
    curve_percent=(50, 100),
    regions=("ring", "cluster", "window"),
)


class Linear(nn.Module):
    """Scores that are sums over the image: class k of either head looks at pixels of its own."""

    is_conditioned = False

    def __init__(self, channels: int, size: int, modulations: int, snrs: int):
        super().__init__()
        pixels, generator = channels * size * size, torch.Generator().manual_seed(1)
        self.modulation = nn.Parameter(torch.randn(modulations, pixels, generator=generator))
        self.snr = nn.Parameter(torch.randn(snrs, pixels, generator=generator))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return images.flatten(1) @ self.modulation.T, images.flatten(1) @ self.snr.T


def explained_model(model: nn.Module, drawing: Drawing, data: BinStore) -> ExplainedModel:
    trained = TrainedModel(model.eval(), ARCHITECTURE, drawing, data.modulations, data.snrs_db)
    return ExplainedModel.on_device(trained, DrawingProber(drawing, data), data, 1, CPU)


@pytest.fixture(scope="module")
def explained(data: BinStore) -> ExplainedModel:
    drawing = Drawing(data.render, draw("log_histogram"))
    size, classes = data.render.size, (len(data.modulations), len(data.snrs_db))
    return explained_model(Linear(drawing.channels, size, *classes), drawing, data)


@pytest.fixture(scope="module")
def chosen() -> tuple[Method, ...]:
    return compare.choose(SETTINGS, spatial=True, seed=1)


@pytest.fixture(scope="module")
def few(data: BinStore) -> np.ndarray:
    """A frame of each of nine cells."""
    every = data.every_frame()
    return every[every[:, 2] == 0]


@pytest.fixture(scope="module")
def measured(explained, chosen, few) -> MethodMeasures:
    return method_measures.measure_methods(explained, chosen, SETTINGS, few, few[:4])


@pytest.fixture(scope="module")
def plan(data, few) -> PerturbationPlan:
    built = masks.build(data.render.views, MASKS, data.render.size)
    return PerturbationPlan(few, tuple(built), MASKS, 1, data.render)


def value(measures: pd.DataFrame, task: str, method: str, measure: str) -> float:
    (row,) = measures[
        (measures["task"] == task)
        & (measures["method"] == method)
        & (measures["measure"] == measure)
    ].to_dict("records")
    return row["value"]


@pytest.mark.parametrize("task", HEADS)
def test_of_a_linear_model_the_gradient_method_is_exact_and_no_other(measured, task):
    measures = measured.measures_table(1, 100)
    # Whatever lit pixels go, the score falls by their parts in it: no infidelity but rounding,
    # relative to what a map of noise leaves.
    exact = {m: value(measures, task, "integrated_gradients", m) for m in measures["measure"]}
    assert exact["infidelity"] < 1e-6 * value(measures, task, "random", "infidelity")
    for other in ("brightness", "random", "occlusion"):
        assert exact["deletion_area"] < value(measures, task, other, "deletion_area")
        assert exact["insertion_area"] > value(measures, task, other, "insertion_area")
    assert value(measures, task, "brightness", "agreement") == pytest.approx(1)


def test_costs_are_passes_a_frame(measured):
    measures = measured.measures_table(1, 10)
    passes = {
        m: [value(measures, "snr", m, f"{way}_passes") for way in ("forward", "backward")]
        for m in METHODS
    }
    # Occlusion takes the whole image, and each of 4 x 4 windows of 4 views, once.
    assert passes == {
        "integrated_gradients": [3, 3],
        "occlusion": [1 + 16 * 4, 0],
        "brightness": [0, 0],
        "random": [0, 0],
    }


def test_curves_begin_with_the_whole_frame_and_end_dark(explained, measured, few):
    table = measured.curves_table(1, 10)
    names = ["task", "method", "curve", "level_percent"]
    curves = table.set_index(names)["probability"].sort_index()
    batch = predict_batch(explained, few)
    with torch.no_grad():
        whole = explained.model(batch.images)
        dark = explained.model(torch.zeros_like(batch.images))

    for task, *logits in zip(HEADS, whole, dark, strict=True):
        classes = batch.predicted[task][:, None]
        ends = [float(one.softmax(1).gather(1, classes).mean()) for one in logits]
        for method in METHODS:
            deletion, insertion = (curves[task, method, name] for name in CURVES)
            assert [deletion[0], deletion[100]] == pytest.approx(ends, abs=1e-6)
            assert [insertion[100], insertion[0]] == pytest.approx(ends, abs=1e-6)


def assert_alike(again, measured, rtol: float, atol: float) -> None:
    for key, measures in measured.measures.items():
        for name, values in measures.items():
            np.testing.assert_allclose(
                again.measures[key][name], values, rtol=rtol, atol=atol, err_msg=f"{key} {name}"
            )


def test_the_batch_does_not_matter(explained, chosen, measured, few, monkeypatch):
    monkeypatch.setattr(method_measures, "BATCH", 4)
    again = method_measures.measure_methods(explained, chosen, SETTINGS, few, few[:4])
    # An ulp of logits of some 32 is 4e-6, and infidelity is a difference of two of them.
    assert_alike(again, measured, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def own_drops(explained, plan) -> MaskDrops:
    masks = mask_drops.masks_to_compare(plan, 5)
    return mask_drops.measure_mask_drops(explained, explained.model, plan, masks)


@pytest.fixture(scope="module")
def other(explained) -> Linear:
    """A linear model of weights that have nothing to do with the first one's."""
    model = Linear(4, explained.data.render.size, 3, 3)
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    return model.eval()


@pytest.fixture(scope="module")
def checks(explained, chosen, few, own_drops, plan, other) -> pd.DataFrame:
    """Of a control model without anything in common, and of the model itself in its place."""
    twins = [
        ControlModel("weights", 1.0, other, {}),
        ControlModel("labels", 1.0, explained.model, {"modulation": 0.25, "snr": 0.5}),
    ]
    return sanity.check(explained, chosen, SETTINGS, few, iter(twins), own_drops, plan)


@pytest.mark.parametrize("task", HEADS)
def test_what_ignores_the_model_survives_its_loss_and_what_follows_it_does_not(checks, few, task):
    of_task = checks.set_index(["task", "method", "check"]).loc[task]
    assert of_task.loc[("brightness", "weights"), "survives"] == "yes"
    assert of_task.loc[("integrated_gradients", "weights"), "survives"] == "no"

    # Of the model itself all patterns are there, that of PIS too.
    for method in ("integrated_gradients", "occlusion", "brightness", "pis"):
        assert of_task.loc[(method, "labels"), "correlation"] == pytest.approx(1)
    assert of_task.loc[("occlusion", "labels"), "n"] == len(few)

    # Maps of different frames of one method: gradients differ wherever either is dark.
    assert of_task.loc[("integrated_gradients", "weights"), "null"] < 0.5
    fit = {"modulation": 0.25, "snr": 0.5}[task]
    assert of_task.loc[("occlusion", "labels"), "fit"] == fit
    assert np.isnan(of_task.loc[("occlusion", "weights"), "fit"])
    assert "random" not in of_task.index.get_level_values("method")


def test_the_pattern_of_pis_is_what_each_mask_costs_the_predicted_class(
    data, explained, plan, own_drops
):
    """Counted by hand for one mask: probabilities of the whole frames' predictions, and after."""
    named = {(mask.rule, mask.level_percent) for mask in own_drops.masks}
    assert named == {("exact", 5), ("ring", None), ("cluster", None)}

    symbol_cores = [(mask.view, mask.name) == ("symbol", "core") for mask in own_drops.masks]
    place = symbol_cores.index(True)
    frames = plan.frame
    counts = predict_batch(explained, frames).counts
    masked = counts.clone()
    core = own_drops.masks[place]
    pixels, offsets = plan.pixels(data, 0, len(frames), [core])[core]
    for i in range(len(frames)):
        masked[i, pixels[offsets[i] : offsets[i + 1]]] = 0

    def probabilities(counts: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            logits = explained.model(explained.trained.input(counts))
        return torch.stack(logits).softmax(2)  # (tasks, n, classes)

    whole, after = probabilities(counts), probabilities(masked)
    predicted = whole.argmax(2, keepdim=True)
    expected = (whole.gather(2, predicted) - after.gather(2, predicted)).mean((1, 2))
    assert own_drops.drops[place] == pytest.approx(expected.numpy(), abs=1e-6)
    assert np.abs(expected.numpy()).max() > 1e-3


def test_a_pattern_of_few_masks_is_not_judged(explained, plan, own_drops, other):
    another = mask_drops.measure_mask_drops(explained, other, plan, own_drops.masks)
    rng = np.random.default_rng(1)

    few_own, few_other = (MaskDrops(one.masks[:4], one.drops[:4]) for one in (own_drops, another))
    similarity = sanity.similarity_of_drops(few_own, few_other, "snr", 100, rng)
    assert (similarity.n, similarity.survives) == (4, "unknown")

    for task in HEADS:
        similarity = sanity.similarity_of_drops(own_drops, another, task, 100, rng)
        assert similarity.ci_low < similarity.correlation < 0.9


def test_percentile_masks_make_a_pattern_where_there_are_no_exact_ones(data, few):
    settings = replace(MASKS, rules=("percentile",), curve_percent=(), regions=())
    built = masks.build(data.render.views, settings, data.render.size)
    plan = PerturbationPlan(few, tuple(built), settings, 1, data.render)
    found = mask_drops.masks_to_compare(plan, 5)
    assert {(mask.rule, mask.level_percent) for mask in found} == {("percentile", 5)}


def test_control_models_lose_ever_more_and_the_last_never_learnt(data):
    drawing = Drawing(data.render, draw("log_histogram"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.build(ARCHITECTURE, drawing.shape, len(data.modulations), data.snrs_db)
    explained = explained_model(model, drawing, data)
    found = list(controls.control_models(explained, SETTINGS, data.every_frame()))
    labels = [(one.check, one.share == 1) for one in found]
    assert labels == [("weights", False), ("weights", True), ("labels", True)]

    stem, head = model.backbone.conv1.weight, model.snr_head.weight
    first, *others = (one.model for one in found)
    assert torch.equal(first.backbone.conv1.weight, stem)
    assert not torch.equal(first.snr_head.weight, head)
    for control in others:
        assert not torch.equal(control.backbone.conv1.weight, stem)
        assert not control.training


def test_the_headline_is_the_best_method_and_the_random_baseline(measured):
    measures = measured.measures_table(1, 10)
    area = (measures["measure"] == "deletion_area") & (measures["task"] == "snr")
    for method, value in {"brightness": 0.1, "random": 0.6, "occlusion": 0.4}.items():
        measures.loc[area & (measures["method"] == method), "value"] = value
    measures.loc[area & (measures["method"] == "integrated_gradients"), "value"] = 0.3
    headline = compare.headline(measures)
    assert headline["snr"] == {"deletion": 0.3, "random": 0.6}
    assert set(headline) == set(HEADS)


def test_examples_show_each_modulation_at_its_highest_snr_in_the_view_that_costs_most(
    explained, chosen, few, measured, own_drops
):
    in_noise = [[0.0, float(mask.view == "noise")] for mask in own_drops.masks]
    costly = MaskDrops(own_drops.masks, np.array(in_noise))
    shown = examples(explained, chosen, few, measured, costly, "snr")
    assert shown.titles == [f"{name}, 20 dB\nnoise" for name in explained.data.modulations]

    size = explained.data.render.size
    assert shown.images.shape == (3, size, size)
    assert set(shown.maps) == set(SETTINGS.methods)

    taken = shown.taken["Top 5 %"]
    lit = np.count_nonzero(shown.images, axis=(1, 2))
    found = np.count_nonzero(taken & (shown.images > 0), axis=(1, 2))
    assert found.tolist() == [exact_size(n, 5) for n in lit]

    for method, curves in shown.curves.items():
        of_first = measured.measures["snr", method]["deletion"][few[:, 0] == 0]
        assert curves[0] == pytest.approx(of_first.mean(0))
    assert shown.frames == 3


def test_examples_are_arrays_that_need_no_pickle(
    explained, chosen, few, measured, own_drops, tmp_path
):
    shown = examples(explained, chosen, few, measured, own_drops, "snr")
    files.write_npz(tmp_path / "examples.npz", shown.arrays("snr"))
    with np.load(tmp_path / "examples.npz", allow_pickle=False) as stored:
        assert stored["snr_titles"].tolist() == shown.titles
        assert stored["snr_frames"] == shown.frames
        for name, values in {
            "map": shown.maps,
            "taken": shown.taken,
            "curve": shown.curves,
        }.items():
            arrays = stored["snr_taken" if name == "taken" else f"snr_{name}s"]
            assert stored[f"snr_{name}_names"].tolist() == list(values)
            assert np.array_equal(arrays, np.stack(list(values.values())), equal_nan=name == "map")


def test_brightness_ranks_points_however_they_are_drawn(data, few, explained):
    drawing = Drawing(data.render, draw("gaussian"))
    smooth = explained_model(explained.model, drawing, data)
    batch = predict_batch(smooth, few)
    brightness = methods.build("brightness", SETTINGS, 1)
    scores = attributed_scores(smooth, brightness, smooth.model, batch)["snr"]
    assert (scores == batch.counts.numpy()).all()


def test_frames_are_picked_at_random_and_the_same_each_time():
    index = np.arange(300).reshape(100, 3)
    picked = [controls.random_subset(index, 10, np.random.default_rng(1)) for _ in range(2)]
    assert (picked[0] == picked[1]).all()
    assert len({*picked[0][:, 0].tolist()}) == 10
    assert np.abs(np.corrcoef(picked[0][:, 0], np.arange(10))[0, 1]) < 0.9
    assert len(controls.random_subset(index, 1000, np.random.default_rng(1))) == 100


# Models of raw IQ


class PowerModel(nn.Module):
    """Scores from the power of a frame in 32 parts of its time: class k of either head weighs them
    in its own way."""

    is_conditioned = False

    def __init__(self, modulations: int, snrs: int):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.modulation = nn.Parameter(torch.randn(modulations, 32, generator=generator) / 8)
        self.snr = nn.Parameter(torch.randn(snrs, 32, generator=generator) / 8)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        power = frames.square().sum(1).unflatten(1, (32, -1)).sum(2)
        return power @ self.modulation.T, power @ self.snr.T


@pytest.fixture(scope="module")
def explained_frames(data, iq_shards) -> Callable[[nn.Module, Architecture], ExplainedModel]:
    """A function that takes a model of raw IQ."""

    def make(model: nn.Module, architecture: Architecture) -> ExplainedModel:
        trained = TrainedModel(
            model.eval(), architecture, Waveform(SAMPLES), data.modulations, data.snrs_db
        )
        prober = trained.input.prober(iq_shards.parent, "zero", 1)
        return ExplainedModel.on_device(trained, prober, data, 1, CPU)

    return make


IQ_SETTINGS = replace(SETTINGS, methods=("grad_cam", "integrated_gradients", "occlusion", "rise"))


@pytest.fixture(scope="module")
def iq_chosen() -> tuple[Method, ...]:
    return compare.choose(IQ_SETTINGS, spatial=False, seed=1)


@pytest.fixture(scope="module")
def iq_explained(explained_frames, data) -> ExplainedModel:
    model = PowerModel(len(data.modulations), len(data.snrs_db))
    return explained_frames(model, Architecture("mcldnn", "plain", "standard"))


@pytest.fixture(scope="module")
def iq_measured(iq_explained, iq_chosen, few) -> MethodMeasures:
    return method_measures.measure_methods(iq_explained, iq_chosen, IQ_SETTINGS, few, few[:4])


def test_maps_of_raw_iq_are_bare_where_nothing_is_behind(
    iq_explained, iq_chosen, few, iq_measured, own_drops
):
    shown = examples(iq_explained, iq_chosen, few, iq_measured, own_drops, "snr")
    for values in shown.maps.values():
        assert np.array_equal(np.isnan(values), shown.images == 0)


def test_grad_cam_is_left_out_where_no_layer_is_a_map(iq_chosen, iq_measured):
    names = ("integrated_gradients", "occlusion", "rise", "brightness", "random")
    assert tuple(method.name for method in iq_chosen) == names
    assert set(iq_measured.measures) == {(task, name) for task in HEADS for name in names}

    assert methods.applicable(("grad_cam",), spatial=True) == ("grad_cam",)
    with pytest.raises(
        ValueError, match=r"attribute\.methods.*'grad_cam'.*add integrated_gradients,"
    ):
        methods.applicable(("grad_cam",), spatial=False)


def test_dark_pixels_are_as_silent_to_the_methods_as_to_pis(iq_explained, few):
    """To the bit, for any pixels of any views: what is explained is what curves and PIS measure."""
    batch = predict_batch(iq_explained, few)
    rng = np.random.default_rng(1)
    sizes = (0, 1, 2, 3, 5, 9, 20, 50, 90)
    lists = [
        rng.choice(np.flatnonzero(lit), n, replace=False)
        for lit, n in zip(batch.lit, sizes, strict=True)
    ]
    images = batch.counts.clone()
    for row, pixels in zip(images, lists, strict=True):
        row[pixels] = 0
    images = images.view_as(batch.images)
    offsets = np.concatenate([[0], np.cumsum(sizes)])

    masked = batch.frames.probe.without(list(range(len(few))), np.concatenate(lists), offsets)
    explained = iq_explained.trained.input.from_images(images, *batch.context)
    assert torch.equal(explained, masked)

    silent = (explained == 0).all(1).sum(1)
    assert silent[0] == 0
    assert (silent[1:] > 0).all()
    assert silent[-1] < SAMPLES


def test_curves_of_a_model_of_raw_iq_end_in_silence(
    iq_explained, iq_chosen, iq_measured, few, iq_data
):
    """Logits of silence are 0 here, and each of the three classes has a third. No sample is beyond
    all views' extents."""
    table = iq_measured.curves_table(1, 10)
    names = ["task", "method", "curve", "level_percent"]
    curves = table.set_index(names)["probability"].sort_index()
    batch = predict_batch(iq_explained, few)
    with torch.no_grad():
        whole = iq_explained.model(iq_data.prepare(iq_data.gather(few), CPU))

    for task, logits in zip(HEADS, whole, strict=True):
        assert torch.equal(logits.argmax(1), batch.predicted[task])
        first = float(logits.softmax(1).amax(1).mean())
        assert first > 0.5
        for method in iq_chosen:
            deletion, insertion = (curves[task, method.name, name] for name in CURVES)
            assert [deletion[0], deletion[100]] == pytest.approx([first, 1 / 3], abs=1e-6)
            assert [insertion[100], insertion[0]] == pytest.approx([first, 1 / 3], abs=1e-6)


@pytest.mark.parametrize("task", HEADS)
def test_what_the_model_uses_goes_first_and_brightness_is_that_of_points(iq_measured, task):
    table = iq_measured.measures_table(1, 100)
    measures = table.set_index(["task", "method", "measure"]).sort_index()
    gradients = measures.loc[task, "integrated_gradients"]
    assert gradients.loc["deletion_area", "difference_ci_high"] < 0
    assert gradients.loc["insertion_area", "difference_ci_low"] > 0
    assert measures.loc[(task, "brightness", "agreement"), "value"] == pytest.approx(1)
    assert measures.loc[(task, "occlusion", "forward_passes"), "value"] == 1 + 16 * 4


def test_the_batch_does_not_matter_to_models_of_raw_iq(
    iq_explained, iq_chosen, iq_measured, few, monkeypatch
):
    monkeypatch.setattr(method_measures, "BATCH", 4)
    again = method_measures.measure_methods(iq_explained, iq_chosen, IQ_SETTINGS, few, few[:4])
    assert_alike(again, iq_measured, rtol=1e-3, atol=1e-5)


def test_a_model_conditioned_on_the_true_snr_has_it_wherever_it_predicts(
    explained_frames, data, few, plan
):
    """A CLDNN that will not predict without: every method, check and pattern, and the training on
    shuffled labels."""
    architecture = Architecture(
        "cldnn", "plain", "standard", Settings(film=True, condition="known")
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = models.build(architecture, (2, SAMPLES), len(data.modulations), data.snrs_db)
    explained = explained_frames(model, architecture)
    settings = replace(
        IQ_SETTINGS,
        ig_steps=1,
        window=1.0,
        stride=1.0,
        rise_masks=2,
        infidelity_samples=2,
        randomised_steps=1,
        levels_percent=(50, 100),
    )
    chosen = compare.choose(settings, spatial=False, seed=1)

    batch = predict_batch(explained, few[:2])
    assert batch.context[-1].tolist() == [data.snrs_db[s] for s in few[:2, 1]]

    found = method_measures.measure_methods(explained, chosen, settings, few[:2], few[:2]).measures
    for (_, method), measured in found.items():
        if method not in methods.REFERENCES:
            assert all(np.isfinite(values).all() for values in measured.values())

    few_masks = mask_drops.masks_to_compare(plan, 5)[:5]
    own = mask_drops.measure_mask_drops(explained, explained.model, plan, few_masks)
    assert np.abs(own.drops).max() > 0
    control_models = controls.control_models(explained, settings, few)
    checks = sanity.check(explained, chosen, settings, few[:2], control_models, own, plan)
    assert set(checks["check"]) == {"weights", "labels"}
    assert checks["fit"].notna().any()
