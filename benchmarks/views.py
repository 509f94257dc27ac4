"""What each list of views is worth: trains with each, and writes docs/results/views.md.

    python -m benchmarks.views [--other frames.hdf5] [raw raw,symbol ...]

The trainings are queued DVC experiments on the preset `benchmark`. Run it in a clone of its own,
with nothing uncommitted; interrupted, it resumes with the lists that are missing. `--other` is a
file of the RML2018.01A layout that no model was trained on.
"""

import argparse
import tempfile
from pathlib import Path

import dvc.api
import torch

from benchmarks import experiments
from benchmarks.timing import machine_and_date
from pisces.config import presets
from pisces.config.io import load_params
from pisces.data.datasets import StoredFrames, batches
from pisces.evaluation import inference
from pisces.inputs import rendering
from pisces.inputs.drawing import BinStore
from pisces.models import modelfile
from pisces.models.modelfile import TrainedModel
from pisces.sources import rml2018, sharding
from pisces.sources.settings import Selection

PRESET, PAGE = "benchmark", Path("docs/results/views.md")
START, END = "<!-- made by benchmarks.views -->\n", "<!-- end -->\n"
LISTS = ("raw", "raw,symbol", "raw,noise", "raw,symbol,noise", "raw,symbol,noise,differential")
HIGH_DB = 22
HARD = ("64QAM", "256QAM")


def run(lists: list[str]) -> dict[str, str]:
    """List -> name of the experiment, all of them with a result; errors as `experiments.run`."""
    names = {views: f"views-{views.replace(',', '-')}" for views in lists}
    wanted = {name: {"render.views": views.split(",")} for views, name in names.items()}
    experiments.run(wanted, presets.overlay(PRESET), "views")
    return names


def results(views: str, experiment: str) -> dict[str, str]:
    """The row of one experiment."""
    summary = experiments.metrics(experiment, "evaluate")
    by_snr = experiments.read_csv(experiment, "plots/accuracy_by_snr.csv")
    scores = experiments.read_csv(experiment, "plots/per_class.csv")
    high = by_snr[by_snr["snr_db"] >= HIGH_DB]
    row = {"views": views.replace(",", " + ")}
    for task in ("modulation", "snr", "joint"):
        one = summary[task]
        row[task] = f"{one['accuracy']:.3f} ({one['ci_low']:.3f} to {one['ci_high']:.3f})"
    row[f"joint at >= {HIGH_DB} dB"] = (
        f"{(high['joint'] * high['frames']).sum() / high['frames'].sum():.3f}"
    )
    f1 = scores[scores["task"] == "modulation"].set_index("label")["f1"]
    return row | {f"F1 of {name}": f"{f1[name]:.2f}" for name in HARD}


def load_model(experiment: str, folder: Path) -> TrainedModel:
    for name in (modelfile.WEIGHTS, modelfile.CARD):
        content = dvc.api.read(f"models/{name}", rev=experiment, mode="rb")
        (folder / name).write_bytes(content)
    return modelfile.load(folder)


def transfer(views: str, experiment: str, file: Path) -> dict[str, str]:
    """Accuracies of one experiment's model on the frames of a file.

    Those count whose modulation and SNR it knows.

    Args:
        views: The list that the model was trained on, with commas between.
        experiment: Name of the DVC experiment.
        file: HDF5 in the layout of RML2018.01A.

    Returns:
        A row of the table: views, accuracies from 0 to 1, and how many frames count.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        trained = load_model(experiment, root)
        with rml2018.open_file(file) as source:
            there = {label.snr_db for label in rml2018.rows_by_label(source)}
        snrs_db = tuple(snr_db for snr_db in trained.snrs_db if snr_db in there)
        class_order = load_params().data.class_order
        data = Selection(str(file), class_order, trained.modulations, snrs_db, None)
        sharding.split(data, root / "iq")
        rendering.render(root / "iq", root / "constellations", trained.input.render)
        frames = BinStore(root / "constellations")
        index = frames.every_frame()
        right = torch.zeros(3)
        for batch in batches(StoredFrames(frames, torch.device("cpu")), index, 256):
            label_db = torch.tensor(frames.snrs_db)[batch.snr]
            true_db = torch.tensor(frames.true_snrs_db)[batch.snr]
            inputs = trained.input.tensors(batch.stored)
            modulation, snr = inference.predict(trained.model, inputs, true_db)
            predicted_db = torch.tensor(trained.snrs_db)[snr.argmax(1)]
            modulation_right = modulation.argmax(1) == batch.modulation
            snr_right = predicted_db == label_db
            joint_right = modulation_right & snr_right
            right += torch.stack([modulation_right, snr_right, joint_right]).sum(1)
    accuracies = dict(
        zip(
            ("modulation", "snr", "joint"),
            (f"{value:.3f}" for value in right / len(index)),
            strict=True,
        )
    )
    return {"views": views.replace(",", " + ")} | accuracies | {"frames": str(len(index))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "lists",
        nargs="*",
        default=LISTS,
        help=f"views with commas between them (default: {' '.join(LISTS)})",
    )
    parser.add_argument("--other", type=Path, help="a file that no model was trained on")
    arguments = parser.parse_args()
    names = run(arguments.lists)
    made = f"Made by `python -m benchmarks.views` on {machine_and_date()}.\n\n" + experiments.table(
        [results(*one) for one in names.items()]
    )
    if arguments.other:
        rows = [transfer(*one, arguments.other) for one in names.items()]
        made += f"\nThe same models on `{arguments.other.name}`:\n\n" + experiments.table(rows)
    experiments.write_between(PAGE, START, END, made)
    print(made)


if __name__ == "__main__":
    main()
