"""What judges models and metrics over frames finds what is planted."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import judge_models, known_truth, meta_evaluation
from pisces.attribution import judged, methods
from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.judged import Case
from pisces.truth.evidence import Duel
from tests.test_judged import exact_classifier

CHECKED = 2

METHODS, FRAMES = 8, 60


def planted(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of methods that are truly better one by one, and the truth, (methods, frames)."""
    rng = np.random.default_rng(1)
    worth = np.arange(METHODS)[:, None]
    return tuple(worth + noise * rng.normal(size=(METHODS, FRAMES)) for _ in range(2))


@pytest.mark.parametrize("way", meta_evaluation.WAYS.values())
def test_a_metric_that_ranks_as_the_truth_is_found(way):
    metric, truth = planted(noise=0.01)
    assert way(metric, truth, seed=1) == pytest.approx((1, 1, 1))
    assert way(-metric, truth, seed=1) == pytest.approx((-1, -1, -1))


def test_an_interval_over_methods_tells_what_frames_leave_open():
    metric, truth = planted(noise=6.0)
    mean, low, high = meta_evaluation.over_methods(metric, truth, seed=1)
    assert low < mean <= high
    assert high - low > 0.05
    # Within a frame noise of 6 leaves little of an order of 0 to 7.
    by_frame, _, _ = meta_evaluation.frame_by_frame(metric, truth, seed=1)
    assert 0 < by_frame < mean


def test_frames_without_a_number_are_left_out():
    metric, truth = planted(noise=0.01)
    metric[:, ::2] = np.nan
    assert meta_evaluation.over_methods(metric, truth, seed=1)[0] == pytest.approx(1)


def test_seeds_share_their_resamples():
    """Of two seeds that differ by a constant the difference has no width."""
    values = np.random.default_rng(1).normal(size=(2, 50))
    values[:, 7] = np.nan
    shifted = values + 0.3
    mean, low, high = judge_models.over_seeds(shifted - values, seed=1)
    assert (mean, low, high) == pytest.approx((0.3, 0.3, 0.3))
    mean, low, high = judge_models.over_seeds(values, seed=1)
    assert low < mean < high
    assert mean == pytest.approx(np.nanmean(values, axis=1).mean())


@pytest.fixture(scope="module")
def exact(data) -> ExplainedModel:
    """The exact classifier, whose explanation is the evidence."""
    return exact_classifier(data)


@pytest.fixture(scope="module")
def truth(data, index, tmp_path_factory) -> known_truth.KnownTruth:
    some = index[(index[:, 1] == 2) & (index[:, 2] < 6)]
    return known_truth.KnownTruth(data.root.parent, some, tmp_path_factory.mktemp("truth"))


def test_the_picture_has_each_model_at_its_accuracy_and_agreement():
    rng = np.random.default_rng(1)
    names = list(judge_models.MODELS)[:2]
    found, right = [], []
    for better, name in enumerate(names):
        for seed in (1, 2):
            frames = {"modulation": "QPSK", "frame": range(40), "snr_db": 0, "ranked": True}
            of_model = {"model": name, "seed": seed}
            right.append(pd.DataFrame({"snr_db": 0, "right": rng.random(40) < 0.3 + 0.5 * better}))
            right[-1] = right[-1].assign(**of_model)
            for method in judge_models.DRAWN:
                rho = 0.2 + 0.5 * better + 0.01 * rng.normal(size=40)
                rows = pd.DataFrame(frames | {"rho": rho, "method": method})
                found.append(rows.assign(**of_model))
    figure = judge_models.picture(pd.concat(found), pd.concat(right))
    lines = [one for one in figure.axes[0].lines if len(one.get_xdata()) == 2][:4]
    by_model = [np.mean([one.get_ydata() for one in lines[at : at + 2]]) for at in (0, 2)]
    assert by_model == pytest.approx([0.2, 0.7], abs=0.02)
    assert lines[0].get_xdata().mean() < lines[2].get_xdata().mean()
    assert [one.get_fillstyle() for one in lines] == ["full", "none", "full", "none"]


def test_a_kept_truth_is_the_truth(truth, data, iq_shards):
    chosen = np.arange(len(truth.index)) % 2
    duel = Duel(chosen, 2 - chosen)
    found = truth(duel)

    frames = judged.samples_of(data, truth.index, iq_shards)
    expected = judged.truth_of_frames(frames, truth.law, data.render, duel)
    assert found.ranked.any()
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one, other, atol=1e-5, equal_nan=True)

    again = known_truth.KnownTruth(truth.root, truth.index, truth.path.parent)
    truth.path.touch()  # it is read, and not searched for
    assert np.array_equal(found.evidence, again(duel).evidence, equal_nan=True)


def test_metrics_prefer_the_evidence_to_noise(exact, truth):
    chosen = [methods.Gradient(), methods.RandomBaseline(1)]
    found = meta_evaluation.measure(exact, truth, chosen, CHECKED)
    means = found[found["ranked"]].groupby("method").mean(numeric_only=True)
    better = means.loc["gradient"] - means.loc["random"]
    assert better["agreement"] > 0.2
    assert better["deletion area"] < 0
    assert better["infidelity"] < 0

    # Noise is told apart by its frame alone, and only so many frames of each class are checked.
    classes = len(np.unique(truth.index[:, 0]))
    assert found["sensitivity"].notna().sum() == 2 * CHECKED * classes
    assert (found.loc[found["method"] == "random", "sensitivity"].dropna() == 0).all()


def test_only_pixels_of_the_symbols_are_taken(exact, truth):
    case = Case.of(exact, truth.index, truth)
    measured = meta_evaluation.Measured(case)
    outside = np.ones(measured.counts.shape[1], bool)
    outside[case.pixels] = False
    taken = measured.at_random[measured.at_random >= 0]
    assert len(taken) == np.count_nonzero(measured.counts)
    assert not outside[taken].any()
