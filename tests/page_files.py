"""A small workspace with all that the page is made of, most of it by the library itself."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from pisces import models
from pisces.attribution import methods
from pisces.attribution.explained_model import ExplainedModel
from pisces.core import files
from pisces.evaluation import inference, metrics
from pisces.explorer import moved, prepared
from pisces.explorer.settings import ExploreSettings
from pisces.inputs.drawing import BinStore, Drawing
from pisces.inputs.waveform import frames_behind
from pisces.models import Architecture, modelfile
from pisces.models.modelfile import TrainedModel
from pisces.pis import masks, score, tables
from pisces.pis.store import PerturbationPlan
from pisces.report.page import build, sources
from pisces.report.pis_regions import Images
from tests.conftest import PERTURB, draw
from tests.figures import removed_rows
from tests.test_explanation import SETTINGS

VIEWS = ("symbol", "noise")
EXPLORE = ExploreSettings(frames=200, methods=("integrated_gradients",), levels_percent=(25.0,))
SETTING = replace(PERTURB, views=VIEWS, rules=("exact",))
PARAMS = {"base.seed": 1, "data.path": "mine.hdf5", "draw.decay_px": [0.5, 1.0], "data.own": None}
TASKS = ("modulation", "snr")


def run_of(data: BinStore, source: str = "mine.hdf5", **changes) -> build.Run:
    """What the tables of `workspace` do not say."""
    extents = {view: getattr(data.render.extent, view) for view in data.render.views}
    images = Images(data.render.size, extents, SETTING.window)
    return build.Run(source, images, PARAMS, **changes)


def read(root: Path) -> sources.Sources:
    return sources.read(root / "data", root / "plots", root / "metrics", root / "models")


def plan_of(data: BinStore, index: np.ndarray) -> PerturbationPlan:
    built = masks.build(VIEWS, SETTING, data.render.size)
    return PerturbationPlan(index, tuple(built), SETTING, 1, data.render)


@pytest.fixture(scope="session")
def explained(data: BinStore, iq_shards: Path) -> ExplainedModel:
    """A model that knows a little after a few steps, and the frames of `data`."""
    drawing = Drawing(data.render, draw("log_histogram"))
    architecture = Architecture("pixel_set", "plain", "standard")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        classes = len(data.modulations), data.snrs_db
        model = models.build(architecture, drawing.shape, *classes)
        _train(model, data, drawing)
    trained = TrainedModel(model, architecture, drawing, data.modulations, data.snrs_db)
    prober = drawing.prober(iq_shards.parent, "zero", 1)
    return ExplainedModel.on_device(trained, prober, data, 1, torch.device("cpu"))


def _train(model: torch.nn.Module, data: BinStore, drawing: Drawing, steps: int = 20) -> None:
    index = data.every_frame()
    images = drawing.tensors(data.prepare(data.gather(index), torch.device("cpu")))
    truth = torch.from_numpy(index[:, 0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(model(images)[0], truth).backward()
        optimizer.step()
    model.eval()


@pytest.fixture(scope="session")
def workspace(data, explained, iq_shards, tmp_path_factory) -> Path:
    """Folders data, models, metrics and plots as after the stage `explore`; not to be changed."""
    root = tmp_path_factory.mktemp("workspace")
    every = data.every_frame()
    index, trained = every[every[:, 2] < 2], explained.trained
    modelfile.save(root / "models", trained)
    files.write_json(root / "models/run.json", {"device": "a tiny one", "epochs": 1})

    predicted = inference.predict_frames(trained, data, index)
    of_test = metrics.tables(predicted, data.modulations, data.snrs_db)
    files.write_npz(root / "data/predictions.npz", predicted)
    files.write_json(root / "metrics/evaluate.json", metrics.summary(predicted))

    plan = plan_of(data, index)
    outcome = score.measure(trained.model, explained.prober, data, plan, torch.device("cpu"))
    outcome.write(root / "data/pis.npz", plan.frame, "")
    of_pis = tables.every_table(outcome, plan.frame, data, levels_percent=(20,))

    chosen = [methods.build("integrated_gradients", SETTINGS, 1)]
    moves = moved.set_up(
        explained, frames_behind(data, iq_shards.parent), ["gradient"], SETTINGS, "held"
    )
    found = prepared.prepare(explained, plan, chosen, EXPLORE, moves)
    about = prepared.about(explained, root / "models/model.safetensors")
    files.write_npz(root / "data/explorer.npz", found.arrays() | about)

    made_up = _made_up(data, of_test["accuracy_by_snr"])
    files.write_tables(root / "plots", of_test | of_pis | made_up)
    files.write_json(root / "metrics/limits.json", {"modulation": {"gap_points": 12.5}, "snr": {}})
    return root


def _made_up(data: BinStore, by_snr: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables of the stages that are not run here, in agreement with the accuracies."""
    snrs_db = list(data.snrs_db)
    interval = {"ci_low": 0.1, "ci_high": 0.9}
    ceiling = [
        {"snr_db": row.snr_db, "task": task, "series": series, "accuracy": accuracy, "n": 6}
        for row in by_snr.itertuples()
        for task in TASKS
        for series, accuracy in (("model", getattr(row, task)), ("ceiling", 0.875))
    ]
    cells = pd.DataFrame(product(data.modulations, snrs_db), columns=["modulation", "snr_db"])
    near = {"measured_snr_db": cells["snr_db"] + 0.5, "low_db": -20.0, "high_db": 20.0}
    of_methods = pd.DataFrame(product(TASKS, ["rise", "random"]), columns=["task", "method"])
    curve = of_methods.assign(curve="deletion", level_percent=5.0, probability=0.5, **interval)
    checks = of_methods.assign(check="weights", share=1.0, correlation=0.2, n=3, null=0.4)
    tuned = of_methods.assign(
        model="tuned", measure="deletion_area", value=0.25, **interval
    ).assign(snr_db=np.nan, n=9)
    bins = pd.DataFrame(product(TASKS, [0.2, 0.8]), columns=["task", "confidence"])
    training = {f"validation_{task}_accuracy": [0.2, 0.4] for task in (*TASKS, "joint")}
    training |= {"epoch": [1, 2], "train_loss": [3.0, 2.0], "validation_loss": [3.5, 2.5]}
    of_evidence = pd.DataFrame({"method": ["gradient", "random"], "snr_db": np.nan, "frames": 9})
    of_evidence = of_evidence.assign(left_out=1, agreement=[0.5, 0.0], **interval)
    turned = {"class": "BPSK", "rival": "QPSK", "order": "random", "of": "model", "frames": 4}
    turned |= {"median": 3, "ci_low": 1, "ci_high": 5, "into_rival": 4, "never": 0}
    finding = {"name": "echo", "figure": 0.25, "unit": "of it", "expected": "below 0.1"}
    return {
        "ceiling": pd.DataFrame(ceiling).assign(**interval),
        "ceiling_summary": pd.DataFrame(
            [{"task": "modulation", "series": "model", "band": "all", "accuracy": 0.5}]
        ),
        "audit": cells.assign(n=20, snr_label="power", **near),
        "audit_spectrum": pd.DataFrame(
            {
                "rate": [-0.5, 0.0, 0.5],
                "power_db": [-3.0, 0.0, -3.0],
                "low_db": -4.0,
                "high_db": 1.0,
            }
        ),
        "audit_findings": pd.DataFrame(
            [finding | interval | {"param": "render.equalizer", "verdict": "fits"}]
        ),
        "attribution": of_methods.assign(measure="deletion_area", n=9, value=0.375, **interval),
        "attribution_curves": curve,
        "attribution_checks": checks.assign(survives="no", **interval),
        "mask_tuning": tuned,
        "evidence": of_evidence,
        "pis_redraw": removed_rows("1", "2"),
        "counterfactuals": pd.DataFrame(
            [turned | {"snr_db": np.nan}, turned | {"snr_db": snrs_db[0], "median": np.inf}]
        ),
        "mask_guards": of_methods.assign(model="tuned", guard="blur", value=0.5).assign(
            n=9, reference=0.25
        ),
        "reliability": bins.assign(
            probabilities="calibrated", accuracy=bins["confidence"], frames=4, **interval
        ),
        "training": pd.DataFrame(training | {"modulation_weight": 0.8, "snr_weight": 0.2}),
    }
