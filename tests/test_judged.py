"""Methods that find planted evidence agree with it; frames without any are counted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_1samp
from torch import nn

from pisces.attribution import evidence_table, judged, methods
from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.head import DifferenceHead
from pisces.attribution.judged import CEILING, Truth
from pisces.core.modulations import constellation
from pisces.inputs.binning import bin_frames
from pisces.inputs.drawing import BinStore
from pisces.sources.modulators import shape_symbols
from pisces.truth.classifier import Sending, exact_model
from pisces.truth.evidence import Duel
from pisces.truth.found import leveled
from pisces.truth.law import SymbolLaw
from tests.conftest import POINTS, RENDER, SNRS_DB
from tests.test_truth_counts import noise, render

SIZE = 8
SNRS = {label: 8 * 10 ** (label / 10) for label in SNRS_DB}
"""Label -> linear, of a symbol of 8 samples."""


class Planted(nn.Module):
    """Logits that are weights times pixels: what a pixel says is its weight."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = weights  # (classes, pixels)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = images.flatten(1) @ self.weights.T
        return logits, logits[:, :2]


def planted(frames: int = 6) -> tuple[DifferenceHead, torch.Tensor, Duel, Truth]:
    rng = torch.Generator().manual_seed(1)
    weights = torch.randn(3, SIZE**2, generator=rng)
    images = torch.randint(0, 4, (frames, 1, SIZE, SIZE), generator=rng).float()
    duel = Duel(np.array([0, 1, 2] * (frames // 3)), np.array([1, 2, 0] * (frames // 3)))
    worth = (weights[duel.chosen] - weights[duel.rival]).numpy().astype(float)
    worth[images.flatten(1).numpy() == 0] = np.nan
    truth = Truth(worth, worth, np.ones(frames, bool))
    return DifferenceHead(Planted(weights), "modulation"), images, duel, truth


@pytest.mark.parametrize("method", [methods.Gradient(), methods.IntegratedGradients(4)])
def test_a_method_that_is_right_about_a_sum_agrees_wholly(method):
    head, images, duel, truth = planted()
    maps = judged.scores_of(method, head, images, duel, ())
    counts = images.flatten(1).numpy()
    assert np.allclose(judged.agreements(method, maps, 0, counts, truth), 1, atol=1e-3)

    # What speaks for one class speaks against the other.
    swapped = Duel(duel.rival, duel.chosen)
    maps = judged.scores_of(method, head, images, swapped, ())
    assert np.allclose(judged.agreements(method, maps, 0, counts, truth), -1, atol=1e-3)


def test_occlusion_of_single_pixels_is_their_worth():
    head, images, duel, truth = planted()
    method = methods.Occlusion(1 / SIZE, 1 / SIZE)
    maps = judged.scores_of(method, head, images, duel, ())
    per_point = maps / images.clamp_min(1)
    assert np.allclose(judged.agreements(method, per_point, 0, np.ones(1), truth), 1, atol=1e-3)


def test_brightness_and_noise_do_not_agree():
    head, images, duel, truth = planted(60)
    for method in (methods.Brightness(), methods.RandomBaseline(1)):
        maps = judged.scores_of(method, head, images, duel, ())
        found = judged.agreements(method, maps, 0, images.flatten(1).numpy(), truth)
        # Of some 48 lit pixels and 60 frames the mean has a standard deviation of .019.
        assert abs(np.nanmean(found)) < 4 * 0.019


def test_rise_of_a_difference_goes_beyond_certainty():
    """A probability of 1 under every mask would rank nothing."""
    head, images, duel, truth = planted()
    sure = DifferenceHead(Planted(100 * head.model.weights), "modulation")
    method = methods.Rise(masks=4000, cells=SIZE, keep=0.5, seed=1)
    maps = judged.scores_of(method, sure, images.clamp_max(1), duel, ())
    assert judged.agreements(method, maps, 0, np.ones(1), truth).mean() > 0.3


def test_a_summary_counts_what_is_left_out_and_a_constant_map_as_no_ranking():
    by_frame = pd.DataFrame(
        {
            "snr_db": 6,
            "method": "rise",
            "ranked": [True, True, False, True],
            "rho": [0.9, 0.6, -1.0, np.nan],
        }
    )
    (row,) = judged.summary(by_frame).to_dict("records")
    assert (row["frames"], row["left_out"]) == (3, 1)
    assert row["mean"] == pytest.approx(0.5)
    expected = ttest_1samp([0.9, 0.6, 0], 0).confidence_interval(0.95)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(expected))


def frames_of(name: str, snr: float, frames: int = 4) -> torch.Tensor:
    sent = np.random.default_rng(3).choice(constellation(name), (frames, 64))
    clean = shape_symbols(sent, sps=8, rolloff=0.35, timing=0.2)
    noisy = clean + noise(clean.shape, np.mean(np.abs(clean) ** 2) * 8 / snr)
    return torch.view_as_real(torch.from_numpy(noisy.astype(np.complex64)))


def test_symbols_lie_in_the_pixels_that_are_drawn():
    frames, setup = frames_of("16QAM", 100.0), render(64)
    received = judged.place(frames, setup)
    assert np.array_equal(received.pixels, bin_frames(frames, setup)["symbol"].numpy())
    assert np.ptp(received.pixels) > 1000


def test_finer_pixels_hide_less():
    snr = 100.0
    frames, law = frames_of("16QAM", snr), SymbolLaw(("16QAM", "64QAM", "QPSK"), snr)
    duel = Duel(np.zeros(4, int), np.ones(4, int))
    phases = judged.phases_of(judged.place(frames, render(64)).points, law, duel)
    found = []
    for size in (16, 64, 512):
        setup = render(size)
        truth = judged.truth_of(judged.place(frames, setup), law, duel, phases, setup)
        assert truth.ranked.all()
        found.append(judged.ceiling(truth).mean())
    assert found[0] < found[1] - 0.05
    assert found[1] < found[2] - 0.01
    assert found[2] > 0.9


@pytest.fixture(scope="module")
def exact(data) -> ExplainedModel:
    return exact_classifier(data)


def exact_classifier(data: BinStore) -> ExplainedModel:
    """The exact classifier of the frames of `data`, in the place of a model that was trained."""
    snrs = {float(label): snr for label, snr in SNRS.items()}
    trained = exact_model(Sending(data.modulations, snrs, POINTS["symbol"]), data.render)
    prober = trained.input.prober(data.root.parent, "zero", 1)
    return ExplainedModel.on_device(trained, prober, data, 1, torch.device("cpu"))


CHOSEN = (methods.Gradient(), methods.RandomBaseline(1))


def test_a_model_is_judged_frame_by_frame(exact, index, iq_shards):
    some = index[index[:, 2] < 5][::-1]  # of every cell, in another order
    found = judged.judge(exact, CHOSEN, some, iq_shards, SNRS)
    assert len(found) == len(some) * (len(CHOSEN) + 1)
    assert set(found["method"]) == {CEILING, "gradient", "random"}
    assert (found["predicted"] != found["rival"]).all()

    sure = found[found["ranked"] & (found["snr_db"] >= 0)]
    mean = sure.groupby("method")["rho"].mean()
    # Of 24 symbols a frame, and 20 frames, the mean of random ones scatters by .05.
    assert mean["gradient"] > 0.6
    assert mean[CEILING] > 0.6
    assert abs(mean["random"]) < 0.25


def test_a_level_that_the_mean_power_misses_is_found():
    """Half of the frames are loud by 3 %, as one is whose symbols happen to be the outer ones."""
    snr = 1000.0
    setup, law = render(64), SymbolLaw(("16QAM", "64QAM"), snr)
    received = judged.place(frames_of("16QAM", snr), setup)
    true, _ = leveled(received.points, law)
    loud = received._replace(points=1.03 * true)
    found = judged.on_level(loud, law)

    # The gain of N symbols has a standard deviation of 1 / sqrt(2 N snr) = .003.
    assert np.allclose(found.level, 1.03, atol=4 * 0.003)
    assert torch.allclose(found.points, true, atol=4 * 0.003 * 1.5)

    duel = Duel(np.zeros(4, int), np.ones(4, int))
    phases = judged.phases_of(true, law, duel)
    on_scale, off_scale = (
        judged.ceiling(judged.truth_of(one, law, duel, phases, setup))
        for one in (found, found._replace(level=0.9))
    )
    assert on_scale.mean() > off_scale.mean() + 0.05


def test_frames_of_classes_without_points_have_no_truth(exact, index, iq_shards):
    named = exact.trained._replace(modulations=("4ASK", "FM", "16QAM"))
    some = index[(index[:, 1] == 2) & (index[:, 2] < 3)]
    found = judged.judge(replace(exact, trained=named), CHOSEN, some, iq_shards, SNRS)
    is_fm = (found["predicted"] == "FM") | (found["rival"] == "FM")
    assert is_fm.any()
    assert not found.loc[is_fm, "ranked"].any()
    assert found.loc[is_fm, "rho"][found["method"] != "random"].isna().all()


def test_a_picture_without_symbols_has_no_evidence(exact, index, iq_shards):
    class Store:
        render = replace(RENDER, views=("raw",))

    blind = replace(exact, data=Store())
    with pytest.raises(ValueError, match=r"add it to render\.views"):
        judged.judge(blind, CHOSEN, index, iq_shards, SNRS)


def test_the_table_has_all_frames_together_and_each_snr(exact, index, iq_shards):
    some = index[index[:, 2] < 5]
    rows = evidence_table.table(exact, CHOSEN, some, iq_shards, SNRS)
    assert tuple(rows.columns) == evidence_table.COLUMNS
    assert len(rows) == (len(CHOSEN) + 1) * (1 + len(exact.data.snrs_db))

    by_method = rows.set_index("method")
    for method in (CEILING, "gradient", "random"):
        of_method = by_method.loc[method]
        together = of_method[of_method["snr_db"].isna()].iloc[0]
        each = of_method[of_method["snr_db"].notna()]
        assert together["frames"] == each["frames"].sum()
        assert together["frames"] + together["left_out"] == len(some)
        weighted = (each["agreement"].fillna(0) * each["frames"]).sum() / each["frames"].sum()
        assert together["agreement"] == pytest.approx(weighted, abs=1e-6)
    of_all = rows[rows["snr_db"].isna()].set_index("method")
    assert of_all.loc["gradient", "ci_low"] > of_all.loc["random", "ci_high"]
