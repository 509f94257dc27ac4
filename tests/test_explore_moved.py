"""Counterfactuals on the page: what moves in each frame, what the model says then, and why not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pisces import models
from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.methods import Gradient
from pisces.counterfactuals import orders, turning
from pisces.explorer import moved
from pisces.explorer.moved import FEWEST, Moved
from pisces.inputs.waveform import Waveform
from pisces.models import Architecture
from pisces.models.modelfile import TrainedModel
from tests.conftest import POINTS, SAMPLES
from tests.test_counterfactuals import ATTRIBUTION, SETTINGS
from tests.test_judged import exact_classifier

IN_ORDER = ["evidence_gain", "evidence", "own_swaps", "gradient", "random"]


@pytest.fixture(scope="module")
def exact(data) -> ExplainedModel:
    return exact_classifier(data)


@pytest.fixture(scope="module")
def frame(index) -> np.ndarray:
    """Three frames of each class at -10, 0 and 20 dB."""
    return index[index[:, 2] < 3]


def counts_of(explained: ExplainedModel, frame: np.ndarray) -> np.ndarray:
    stored = explained.data.prepare(explained.data.gather(frame), torch.device("cpu")).numpy()
    pixels = len(explained.data.render.views) * explained.data.render.size**2
    return np.stack([np.bincount(one, minlength=pixels + 1)[:pixels] for one in stored])


def whole_of(n: int, classes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Answers that nothing else could be mistaken for."""
    modulation, snr = (np.full((n, count), 7.0, np.float32) for count in classes)
    return modulation, snr


def moved_of(explained: ExplainedModel, iq_data, frame: np.ndarray, other_views="held") -> Moved:
    setup = moved.set_up(explained, iq_data, SETTINGS.methods, ATTRIBUTION, other_views)
    lit = [np.flatnonzero(counts) for counts in counts_of(explained, frame)]
    return moved.move(setup, frame, lit, whole_of(len(frame), (3, 3)))


@pytest.fixture(scope="module")
def found(exact, iq_data, frame) -> Moved:
    return moved_of(exact, iq_data, frame)


def test_every_frame_says_what_moves_in_each_order_or_why_nothing_does(found, frame):
    assert found.orders == [FEWEST, *IN_ORDER]
    assert found.moves.shape == (len(frame), 6)
    can_move = np.array([why == "" for why in found.why_not])
    assert (found.symbols == np.where(can_move, POINTS["symbol"], 0)).all()
    assert [rival != "" for rival in found.rivals] == can_move.tolist()
    assert (found.moves[~can_move] == 0).all()
    assert (found.moves[can_move & (frame[:, 1] == 2)] > 0).mean() > 0.5
    assert not can_move.all()


def test_the_fewest_are_those_of_the_order_that_turns_first(found):
    for row, (fewest, *others) in enumerate(found.moves.tolist()):
        turned = [count for count in others if count]
        assert fewest == min(turned, default=0)
        if turned:
            order = others.index(fewest) + 1
            assert (found.left[row][0] == found.left[row][order]).all()
            assert (found.arrived[row][0] == found.arrived[row][order]).all()
            assert (found.modulation_prob[row, 0] == found.modulation_prob[row, order]).all()


def test_what_moves_turns_the_prediction_and_what_does_not_is_as_it_was(found, frame):
    for row, (modulation, _, _) in enumerate(frame.tolist()):
        for order, count in enumerate(found.moves[row].tolist()):
            left, arrived = found.left[row][order], found.arrived[row][order]
            answer = found.modulation_prob[row, order]
            if count == 0:
                assert not left.any()
                assert not len(arrived)
                assert (answer == 7).all()
                assert (found.snr_prob[row, order] == 7).all()
                continue
            assert answer.argmax() != modulation
            assert answer.sum() == pytest.approx(1, abs=1e-5)
            assert 0 < left.sum() <= count <= found.symbols[row]
            assert 0 < len(arrived) <= count


def test_it_takes_as_many_symbols_as_the_stage_counts(exact, iq_data, frame, found):
    setup = moved.set_up(exact, iq_data, SETTINGS.methods, ATTRIBUTION, "held")
    of_snr = turning.frames_of(setup, frame, 20)
    compared = 0
    for name in exact.data.modulations:
        pair = turning.Pair(name, "runner_up")
        for batch in turning.of_class(setup, pair, of_snr).batches:
            flips = turning.turn(setup, batch, of_snr.law).of_model[orders.SWAPS].moves
            for key, count in zip(batch.frame.tolist(), flips, strict=True):
                row = frame.tolist().index(key)
                moves = found.moves[row, found.orders.index(orders.SWAPS)]
                assert moves == (count if np.isfinite(count) else 0)
                assert found.rivals[row] == batch.pair.rival
                compared += 1
    assert compared > 3


@pytest.mark.parametrize("other_views", ["held", "redrawn"])
def test_other_views_are_held_or_show_the_new_samples(exact, iq_data, index, other_views):
    some = index[(index[:, 1] == 2) & (index[:, 2] < 2)]
    found = moved_of(exact, iq_data, some, other_views=other_views)
    pixels, views = exact.data.render.size**2, exact.data.render.views
    arrived = np.concatenate([one for of_frame in found.arrived for one in of_frame])
    in_views = {views[number] for number in np.unique(arrived // pixels)}
    assert in_views == ({"symbol"} if other_views == "held" else set(views))


def test_frames_that_another_class_is_predicted_of_say_so(exact, iq_data, frame, found):
    setup = moved.set_up(exact, iq_data, SETTINGS.methods, ATTRIBUTION, "held")
    for label in exact.data.snrs_db:
        of_snr = turning.frames_of(setup, frame, label)
        right = of_snr.right.tolist()
        for key in of_snr.tested.tolist():
            why = found.why_not[frame.tolist().index(key)]
            assert (why == moved.WRONG) == (key not in right)


def test_a_class_without_points_says_so(exact, iq_data, index):
    named = exact.data.__class__(exact.data.root)
    named.modulations = ("FM", *exact.data.modulations[1:])
    changed = replace(exact, data=named)
    some = index[(index[:, 0] == 0) & (index[:, 1] == 2)][:2]
    setup = turning.Setup(changed, iq_data, [Gradient()], "held", {20: 100.0}, "bipolar")
    found = moved.move(setup, some, [np.arange(3)] * 2, whole_of(2, (3, 3)))
    assert found.why_not == [moved.NO_POINTS] * 2
    assert not found.moves.any()


def test_a_model_that_is_shown_no_symbols_has_no_counterfactuals(data, iq_data, frame):
    waveform = Waveform(SAMPLES)
    architecture = Architecture("mcnet", "plain", "standard")
    model = models.build(architecture, waveform.shape, len(data.modulations), data.snrs_db).eval()
    trained = TrainedModel(model, architecture, waveform, data.modulations, data.snrs_db)
    prober = waveform.prober(data.root.parent, "zero", 1)
    of_iq = ExplainedModel.on_device(trained, prober, data, 1, torch.device("cpu"))
    assert moved.set_up(of_iq, iq_data, SETTINGS.methods, ATTRIBUTION, "held") is None

    found = moved.move(None, frame, [np.arange(5)] * len(frame), whole_of(len(frame), (3, 3)))
    assert found.orders == []
    assert found.modulation_prob.shape == (len(frame), 0, 3)
    arrays = found.arrays()
    assert arrays["moves"].shape == (len(frame), 0)
    assert len(arrays["arrived"]) == 0
