"""All rankings on one scale: what ignores the model is found out, what follows it is not, and nothing depends on the batch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pisces import models
from pisces.attribution import compare
from pisces.attribution.compare import Explainer, Patterns, Stranger
from pisces.attribution.settings import AttributionSettings
from pisces.inputs.drawing import BinStore, Drawing, DrawingProber
from pisces.inputs.waveform import IqStore, Waveform
from pisces.models import Architecture
from pisces.models.cldnn import Settings
from pisces.models.modelfile import TrainedModel
from pisces.pis import masks, store
from pisces.pis.store import Perturbations
from tests.conftest import PERTURB, SAMPLES, draw

CPU = torch.device("cpu")
ARCHITECTURE = Architecture("resnet18", "plain", "standard")
SETTINGS = AttributionSettings(
    methods=("integrated_gradients", "occlusion"),
    frames_per_cell=1,
    layer="auto",
    ig_steps=3,
    window=0.25,
    stride=0.25,
    rise_masks=4,
    rise_cells=4,
    rise_keep=0.5,
    levels_percent=(10, 50, 100),
    infidelity_samples=4,
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
    **(
        {
            "rules": ("exact",),
            "levels_percent": (1, 5),
            "curve_percent": (50, 100),
            "regions": ("ring", "cluster", "window"),
        }
    ),
)


class Linear(nn.Module):
    """Scores that are sums over the image: class k of either head looks at pixels of its own."""

    is_oracle = False

    def __init__(self, channels: int, size: int, modulations: int, snrs: int):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.modulation = nn.Parameter(
            torch.randn(modulations, channels * size * size, generator=generator)
        )
        self.snr = nn.Parameter(torch.randn(snrs, channels * size * size, generator=generator))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return images.flatten(1) @ self.modulation.T, images.flatten(1) @ self.snr.T


@pytest.fixture(scope="module")
def explainer(data: BinStore) -> Explainer:
    drawing = Drawing(data.render, draw("log_histogram"))
    model = Linear(
        drawing.channels, data.render.size, len(data.modulations), len(data.snrs_db)
    ).eval()
    return Explainer(
        TrainedModel(model, ARCHITECTURE, drawing, data.modulations, data.snrs_db),
        DrawingProber(drawing, data),
        data,
        SETTINGS,
        1,
        CPU,
    )


@pytest.fixture(scope="module")
def few(data: BinStore) -> np.ndarray:
    """A frame of each of nine cells."""
    every = data.every_frame()
    return every[every[:, 2] == 0]


@pytest.fixture(scope="module")
def judged(explainer, few):
    return compare.judge(explainer, few, few[:4])


@pytest.fixture(scope="module")
def perturbations(data, few, tmp_path_factory) -> Perturbations:
    path: Path = tmp_path_factory.mktemp("perturbations") / "perturbations.h5"
    store.perturb(
        data, few, masks.build(data.render.views, MASKS, data.render.size), MASKS, 1, path
    )
    return Perturbations(path)


def value(measures: pd.DataFrame, task: str, method: str, measure: str) -> float:
    (row,) = measures[
        (measures["task"] == task)
        & (measures["method"] == method)
        & (measures["measure"] == measure)
    ].to_dict("records")
    return row["value"]


@pytest.mark.parametrize("task", compare.TASKS)
def test_of_a_linear_model_the_gradient_method_is_exact_and_chance_is_not(judged, task):
    measures = judged.measures(1, 100)
    # Whatever lit pixels go, the score falls by their parts in it: no infidelity but rounding, relative to what a map of noise leaves.
    assert value(measures, task, "integrated_gradients", "infidelity") < 1e-6 * value(
        measures, task, "random", "infidelity"
    )
    for better in ("brightness", "random", "occlusion"):
        area = [
            value(measures, task, method, "deletion_area")
            for method in ("integrated_gradients", better)
        ]
        assert area[0] < area[1]
        area = [
            value(measures, task, method, "insertion_area")
            for method in ("integrated_gradients", better)
        ]
        assert area[0] > area[1]
    assert value(measures, task, "brightness", "agreement") == pytest.approx(1)


def test_costs_are_passes_a_frame(judged):
    measures = judged.measures(1, 10)
    passes = {
        m: [value(measures, "snr", m, f"{way}_passes") for way in ("forward", "backward")]
        for m in METHODS
    }
    # Occlusion asks once for the whole image and once for each of 4 x 4 windows of 4 views.
    assert passes == {
        "integrated_gradients": [3, 3],
        "occlusion": [1 + 16 * 4, 0],
        "brightness": [0, 0],
        "random": [0, 0],
    }


def test_curves_begin_with_the_whole_frame_and_end_dark(explainer, judged, few):
    curves = judged.curves(1, 10).set_index(["task", "method", "curve", "level_percent"])[
        "probability"
    ]
    scene = explainer.look(few)
    with torch.no_grad():
        whole_and_dark = [
            explainer.model(images) for images in (scene.images, torch.zeros_like(scene.images))
        ]
    for task, whole, none in zip(compare.TASKS, *whole_and_dark, strict=True):
        answer = scene.answers[task][:, None]
        ends = [float(logits.softmax(1).gather(1, answer).mean()) for logits in (whole, none)]
        for method in METHODS:
            assert [curves[task, method, "deletion", level] for level in (0, 100)] == pytest.approx(
                ends, abs=1e-6
            )
            assert [
                curves[task, method, "insertion", level] for level in (100, 0)
            ] == pytest.approx(ends, abs=1e-6)


def assert_alike(again, judged, rtol: float, atol: float) -> None:
    for key, measures in judged.found.items():
        for name, values in measures.items():
            np.testing.assert_allclose(
                again.found[key][name], values, rtol=rtol, atol=atol, err_msg=f"{key} {name}"
            )


def test_the_batch_does_not_matter(explainer, judged, few, monkeypatch):
    monkeypatch.setattr(compare, "BATCH", 4)
    again = compare.judge(explainer, few, few[:4])
    assert_alike(again, judged, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def patterns(explainer, perturbations) -> Patterns:
    return Patterns(explainer, perturbations, 5)


@pytest.fixture(scope="module")
def other(explainer) -> Linear:
    """A linear model of weights that have nothing to do with the first one's."""
    model = Linear(4, explainer.data.render.size, 3, 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
            )
    return model.eval()


def test_what_ignores_the_model_survives_its_loss_and_what_follows_it_does_not(
    explainer, few, patterns, other
):
    twins = [
        Stranger("weights", 1.0, other, {}),
        Stranger("labels", 1.0, explainer.model, {"modulation": 0.25, "snr": 0.5}),
    ]
    checks = compare.check(explainer, few, patterns, iter(twins)).set_index(
        ["task", "method", "check"]
    )
    for task in compare.TASKS:
        survived = checks.loc[task]["survives"]
        assert survived["brightness", "weights"] == "yes"
        assert survived["integrated_gradients", "weights"] == "no"
        # The same model is no stranger: all of its patterns are there, that of PIS too.
        for method in ("integrated_gradients", "occlusion", "brightness", "pis"):
            assert checks.loc[task, method, "labels"]["correlation"] == pytest.approx(1)
        assert checks.loc[task, "occlusion", "labels"]["n"] == len(few)
        # Maps of different frames of one method: gradients differ wherever either is dark.
        assert checks.loc[task, "integrated_gradients", "weights"]["null"] < 0.5
    assert checks.loc["modulation", "occlusion", "labels"]["fit"] == 0.25
    assert np.isnan(checks.loc["modulation", "occlusion", "weights"]["fit"])
    assert "random" not in checks.index.get_level_values("method")


def test_the_pattern_of_pis_is_what_each_mask_costs_the_own_answer(
    explainer, perturbations, patterns
):
    """Counted by hand for one mask: the probability of the answers given to the whole frames, before and after."""
    assert {(mask.rule, mask.level_percent) for mask in patterns.masks} == {
        ("exact", 5),
        ("ring", None),
        ("cluster", None),
    }
    place = next(
        i for i, mask in enumerate(patterns.masks) if mask.view == "symbol" and mask.name == "core"
    )
    frames, size, drawing = perturbations.frame, explainer.data.render.size, explainer.trained.input
    counts = explainer.look(frames).counts
    taken = counts.clone()
    pixels, offsets = perturbations.pixels(patterns.masks[place], "mask", 0, len(frames))
    for i in range(len(frames)):
        taken[i, size * size + pixels[offsets[i] : offsets[i + 1]].astype(int)] = 0
    with torch.no_grad():
        whole, after = (
            torch.stack(explainer.model(drawing(one))).softmax(2) for one in (counts, taken)
        )  # (tasks, n, classes)
    answers = whole.argmax(2, keepdim=True)
    expected = (whole.gather(2, answers) - after.gather(2, answers)).mean((1, 2))
    assert patterns.own[place] == pytest.approx(expected.numpy(), abs=1e-6)
    assert np.abs(expected.numpy()).max() > 1e-3


def test_a_pattern_of_few_masks_is_not_judged(explainer, perturbations, patterns, other):
    fewer = Patterns(explainer, perturbations, 5)
    fewer.masks, fewer.own = patterns.masks[:4], patterns.own[:4]
    rows = list(fewer.compare(explainer, other, ("weights", "1.0")))
    assert [(row["n"], row["survives"]) for row in rows] == [(4, "unknown")] * 2
    rows = list(patterns.compare(explainer, other, ("weights", "1.0")))
    assert all(row["ci_low"] < row["correlation"] < 0.9 for row in rows)


def test_percentile_masks_make_a_pattern_where_there_are_no_exact_ones(
    explainer, data, few, tmp_path
):
    settings = replace(MASKS, **({"rules": ("percentile",), "curve_percent": (), "regions": ()}))
    store.perturb(
        data,
        few,
        masks.build(data.render.views, settings, data.render.size),
        settings,
        1,
        tmp_path / "p.h5",
    )
    found = Patterns(explainer, Perturbations(tmp_path / "p.h5"), 5)
    assert {(mask.rule, mask.level_percent) for mask in found.masks} == {("percentile", 5)}


def test_strangers_lose_ever_more_and_the_last_never_knew(data):
    drawing = Drawing(data.render, draw("log_histogram"))
    torch.manual_seed(0)
    model = models.build(ARCHITECTURE, drawing.shape, len(data.modulations), data.snrs_db).eval()
    trained = TrainedModel(model, ARCHITECTURE, drawing, data.modulations, data.snrs_db)
    explainer = Explainer(trained, DrawingProber(drawing, data), data, SETTINGS, 1, CPU)
    found = list(compare.strangers(explainer, data.every_frame()))
    assert [(one.check, one.share == 1) for one in found] == [
        ("weights", False),
        ("weights", True),
        ("labels", True),
    ]
    for one in found[1:]:
        assert not torch.equal(one.model.backbone.conv1.weight, model.backbone.conv1.weight)
        assert not one.model.training
    assert torch.equal(found[0].model.backbone.conv1.weight, model.backbone.conv1.weight)
    assert not torch.equal(found[0].model.snr_head.weight, model.snr_head.weight)


def test_the_summary_has_no_number_that_is_none(explainer, few, judged, patterns, other):
    measures = judged.measures(1, 10)
    measures.loc[0, "value"] = np.nan
    checks = compare.check(explainer, few, patterns, iter([Stranger("weights", 1.0, other, {})]))
    checks.loc[(checks["method"] == "pis"), "survives"] = ["no", "unknown"]
    summary = compare.summary(measures, checks)
    assert set(summary) == set(compare.TASKS)
    assert set(summary["modulation"]) == {*METHODS, "pis"}
    assert set(summary["snr"]) == set(METHODS)
    numbers = [
        value for task in summary.values() for method in task.values() for value in method.values()
    ]
    assert np.isfinite(numbers).all()
    assert summary["modulation"]["brightness"]["survives_weights"] == 1
    shown = compare.with_checks(measures, checks)
    assert set(shown["measure"]) == {*measures["measure"], "weights"}
    assert (shown["measure"] == "weights").sum() == len(checks)


def test_examples_show_each_modulation_at_its_highest_snr_in_the_view_that_costs_most(
    explainer, few, judged, patterns
):
    dear = Patterns.__new__(Patterns)
    dear.masks = patterns.masks
    dear.own = np.array([[0.0, float(mask.view == "noise")] for mask in patterns.masks])
    shown = compare.examples(explainer, few, judged, dear, "snr")
    assert shown.titles == [f"{name}, 20 dB\nnoise" for name in explainer.data.modulations]
    size = explainer.data.render.size
    assert shown.images.shape == (3, size, size)
    assert set(shown.maps) == set(SETTINGS.methods)
    ((name, taken),) = shown.taken.items()
    assert name == "Top 5 %"
    lit = np.count_nonzero(shown.images, axis=(1, 2))
    assert np.count_nonzero(taken & (shown.images > 0), axis=(1, 2)).tolist() == [
        masks.exact_size(n, 5) for n in lit
    ]
    for method, curves in shown.curves.items():
        assert curves[0] == pytest.approx(
            judged.found["snr", method]["deletion"][few[:, 0] == 0].mean(0)
        )
    assert shown.frames == 3


def test_brightness_ranks_points_however_they_are_drawn(data, few, explainer):
    drawing = Drawing(data.render, draw("gaussian"))
    smooth = Explainer(
        explainer.trained._replace(input=drawing),
        DrawingProber(drawing, data),
        data,
        SETTINGS,
        1,
        CPU,
    )
    scene = smooth.look(few)
    assert (smooth.scores("brightness", smooth.model, scene, "snr") == scene.counts.numpy()).all()


def test_frames_are_picked_at_random_and_the_same_each_time():
    index = np.arange(300).reshape(100, 3)
    picked = [compare.some_of(index, 10, np.random.default_rng(1)) for _ in range(2)]
    assert (picked[0] == picked[1]).all()
    assert len({*picked[0][:, 0].tolist()}) == 10
    assert np.abs(np.corrcoef(picked[0][:, 0], np.arange(10))[0, 1]) < 0.9
    assert len(compare.some_of(index, 1000, np.random.default_rng(1))) == 100


# Models of raw IQ


class Listening(nn.Module):
    """Scores from the power of a frame in 32 parts of its time: class k of either head weighs them in its own way."""

    is_oracle = False

    def __init__(self, modulations: int, snrs: int):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.modulation = nn.Parameter(torch.randn(modulations, 32, generator=generator) / 8)
        self.snr = nn.Parameter(torch.randn(snrs, 32, generator=generator) / 8)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        power = frames.square().sum(1).unflatten(1, (32, -1)).sum(2)
        return power @ self.modulation.T, power @ self.snr.T


@pytest.fixture(scope="module")
def explainer_of(data, iq_shards):
    """A function that makes an explainer of a model of raw IQ."""

    def make(model: nn.Module, architecture: Architecture, **changed) -> Explainer:
        trained = TrainedModel(
            model.eval(), architecture, Waveform(SAMPLES), data.modulations, data.snrs_db
        )
        prober = trained.input.prober(iq_shards.parent, "zero", 1)
        return Explainer(trained, prober, data, replace(SETTINGS, **changed), 1, CPU)

    return make


@pytest.fixture(scope="module")
def listener(explainer_of, data) -> Explainer:
    methods = ("grad_cam", "integrated_gradients", "occlusion", "rise")
    return explainer_of(
        Listening(len(data.modulations), len(data.snrs_db)),
        Architecture("mcldnn", "plain", "standard"),
        methods=methods,
    )


@pytest.fixture(scope="module")
def overheard(listener, few):
    return compare.judge(listener, few, few[:4])


def test_maps_of_raw_iq_are_bare_where_nothing_is_behind(listener, few, overheard, patterns):
    shown = compare.examples(listener, few, overheard, patterns, "snr")
    for values in shown.maps.values():
        assert np.array_equal(np.isnan(values), shown.images == 0)


def test_grad_cam_is_left_out_where_no_layer_is_a_map(listener, overheard):
    methods = ("integrated_gradients", "occlusion", "rise", "brightness", "random")
    assert listener.methods == methods
    assert set(overheard.found) == {(task, method) for task in compare.TASKS for method in methods}
    assert compare.applicable(("grad_cam",), sees_images=True) == ("grad_cam",)
    with pytest.raises(
        ValueError,
        match=r"attribute\.methods = \['grad_cam'\] cannot explain a model of raw IQ.*; add integrated_gradients,",
    ):
        compare.applicable(("grad_cam",), sees_images=False)


def test_dark_pixels_are_as_silent_to_the_methods_as_to_pis(listener, few):
    """To the bit, for any pixels of any views: what methods explain is what the curves and PIS ask."""
    scene = listener.look(few)
    rng = np.random.default_rng(1)
    lists = [
        rng.choice(np.flatnonzero(lit), n, replace=False)
        for lit, n in zip(scene.lit, (0, 1, 2, 3, 5, 9, 20, 50, 90), strict=True)
    ]
    images = scene.counts.clone()
    for row, pixels in zip(images, lists, strict=True):
        row[pixels] = 0
    offsets = np.concatenate([[0], np.cumsum([len(pixels) for pixels in lists])])
    taken = scene.subject.probe.without(list(range(len(few))), np.concatenate(lists), offsets)
    asked = listener.trained.input.from_images(images.view_as(scene.images), *scene.context)
    assert torch.equal(asked, taken)
    gone = (asked == 0).all(1).sum(1)
    assert gone[0] == 0
    assert (gone[1:] > 0).all()
    assert gone[-1] < SAMPLES


def test_curves_of_a_model_of_raw_iq_end_in_silence(listener, overheard, few, iq_shards):
    """Logits of silence are 0 here, and each of the three classes has a third. No sample is beyond all views' extents."""
    curves = overheard.curves(1, 10).set_index(["task", "method", "curve", "level_percent"])[
        "probability"
    ]
    frames = IqStore(iq_shards).prepare(IqStore(iq_shards).gather(few), CPU)
    scene = listener.look(few)
    with torch.no_grad():
        whole = listener.model(frames)
    for task, logits in zip(compare.TASKS, whole, strict=True):
        assert torch.equal(logits.argmax(1), scene.answers[task])
        first = float(logits.softmax(1).amax(1).mean())
        assert first > 0.5
        for method in listener.methods:
            assert [curves[task, method, "deletion", level] for level in (0, 100)] == pytest.approx(
                [first, 1 / 3], abs=1e-6
            )
            assert [
                curves[task, method, "insertion", level] for level in (100, 0)
            ] == pytest.approx([first, 1 / 3], abs=1e-6)


@pytest.mark.parametrize("task", compare.TASKS)
def test_what_is_heard_goes_first_and_brightness_is_that_of_points(overheard, task):
    measures = overheard.measures(1, 100).set_index(["task", "method", "measure"])
    gain = {
        curve: measures.loc[task, "integrated_gradients", f"{curve}_area"]
        for curve in compare.CURVES
    }
    assert gain["deletion"]["difference_ci_high"] < 0
    assert gain["insertion"]["difference_ci_low"] > 0
    assert measures.loc[task, "brightness", "agreement"]["value"] == pytest.approx(1)
    assert measures.loc[task, "occlusion", "forward_passes"]["value"] == 1 + 16 * 4


def test_the_batch_does_not_matter_to_models_of_raw_iq(listener, overheard, few, monkeypatch):
    monkeypatch.setattr(compare, "BATCH", 4)
    again = compare.judge(listener, few, few[:4])
    assert_alike(again, overheard, rtol=1e-3, atol=1e-5)


def test_an_oracle_is_told_the_snr_wherever_it_is_asked(explainer_of, data, few, perturbations):
    """A CLDNN that will not answer without: every method, check and pattern, and the training on shuffled labels."""
    settings = Settings(film=True, condition="known")
    architecture = Architecture("cldnn", "plain", "standard", settings)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = models.build(architecture, (2, SAMPLES), len(data.modulations), data.snrs_db)
    cheap = {
        "methods": ("integrated_gradients", "occlusion", "rise"),
        "ig_steps": 1,
        "window": 1.0,
        "stride": 1.0,
        "rise_masks": 2,
    }
    oracle = explainer_of(
        model,
        architecture,
        **cheap,
        infidelity_samples=2,
        randomised_steps=1,
        levels_percent=(50, 100),
    )
    scene = oracle.look(few[:2])
    assert scene.context[-1].tolist() == [data.snrs_db[s] for s in few[:2, 1]]
    found = compare.judge(oracle, few[:2], few[:2])
    assert all(
        np.isfinite(values).all()
        for name in cheap["methods"]
        for values in found.found["snr", name].values()
    )
    shown = Patterns(oracle, perturbations, 5)
    assert np.abs(shown.own).max() > 0
    shown.masks, shown.own = shown.masks[:5], shown.own[:5]
    checks = compare.check(oracle, few[:2], shown, compare.strangers(oracle, few))
    assert set(checks["check"]) == {"weights", "labels"}
    assert checks["fit"].notna().any()
