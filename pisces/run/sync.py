"""MLflow's runs made from what DVC keeps: for results that came from its run cache or elsewhere.

Results that have a row are completed there; the others get one of their own. So a second time
changes nothing.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pisces.config.io import PARAMS
from pisces.core.files import read_json
from pisces.run import (
    execution,
    mlflow_place,
    mlflow_runs,
    mlflow_store,
    provenance,
    results,
    stage_record,
    tracking,
)
from pisces.run.execution import Execution
from pisces.run.mlflow_runs import Session
from pisces.run.results import Results

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

HERE = Path()
WORKSPACE = "workspace"
SPLIT, SOURCE = "split_hdf5", "source"
"""The stage that reads the data file, and the name of that data set."""


class Synced(NamedTuple):
    """What came of results."""

    name: str
    """Of the experiment or revision; `workspace`."""
    run: str
    """Name of the parent run."""
    numbers: int
    """Logged; 0 when they were all there."""
    files: int
    """Logged, pictures and the model among them."""
    missing: tuple[str, ...]
    """Files that neither git nor DVC's cache holds."""


def sync(names: Sequence[str]) -> list[Synced]:
    """Logs all results of experiments or revisions; without a name those of the workspace.

    Raises:
        ValueError: when tracking is off, a name is unknown, or there are no results.
        OSError: when MLflow fails.
    """
    tracking.require_on("import into")
    if not names:
        return [_sync(WORKSPACE, None)]
    sources = [named(name) for name in names]  # all of them, before anything is written
    return [_sync(name, source) for name, source in zip(names, sources, strict=True)]


def named(name: str) -> Execution:
    """The execution that the name of an experiment, or else of a revision, stands for.

    Raises:
        ValueError: when it is neither, or experiments of several commits have that name.
    """
    baselines = [baseline for baseline, one in experiments() if one == name]
    if len(baselines) > 1 and execution.revision() in baselines:
        baselines = [str(execution.revision())]
    if len(baselines) > 1:
        commits = ", ".join(baseline[:7] for baseline in baselines)
        raise ValueError(
            f"{name} names experiments of the commits {commits}; check out one of these first"
        )
    if baselines:
        return execution.of_experiment(name, baselines[0])

    commit = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if not (commit and commit.isalnum()):  # git writes ^ before what it is asked to leave out
        raise ValueError(
            f"{name} is no experiment and no revision; python -m pisces experiments shows them"
        )
    return Execution(f"revision/{commit}", f"synced {commit[:7]}", commit)


def experiments() -> list[tuple[str, str]]:
    """Commit and name of every experiment of DVC that is here."""
    refs = _git("for-each-ref", "--format=%(refname)", "refs/exps").split()
    parts = [ref.split("/", maxsplit=4) for ref in refs]
    # refs/exps/<2 digits>/<38 digits>/<name>; others there are DVC's own.
    return [(one[2] + one[3], one[4]) for one in parts if len(one) == 5 and len(one[3]) == 38]


def before_ui() -> tuple[str, str | None]:
    """Where the interface shows our runs, and what of DVC's results is not among them, in words.

    Raises:
        OSError: when MLflow fails.
    """
    here = results.in_folder(HERE) if (HERE / PARAMS).is_file() else None
    try:
        with mlflow_place.lock():
            client = mlflow_place.connect()
            address = mlflow_place.ui_address(mlflow_place.experiment_id(client))
            lacks_workspace = here and _headlines(here) and _parent_with(client, here) is None
            shown = mlflow_runs.experiments_shown(client)
    except Exception as error:
        raise tracking.failed(error) from error

    what = ["the results of the workspace"] if lacks_workspace else []
    names = [name for _, name in experiments() if name not in shown]
    if names:
        what.append(f"the experiments {', '.join(names)}")
    return address, " and ".join(what) or None


def _sync(name: str, source: Execution | None) -> Synced:
    """Logs the results of an experiment or revision, or of the workspace where there is neither."""
    with _results_of(source) as found:
        if not found.stages:
            raise ValueError(
                f"{name} has no results of its params that dvc.lock knows; make them with dvc repro"
            )
        try:
            with mlflow_place.lock():
                return _log(mlflow_place.connect(), found, source, name)
        except Exception as error:
            raise tracking.failed(error) from error


@contextmanager
def _results_of(source: Execution | None) -> Iterator[Results]:
    if source is None:
        yield results.in_folder(HERE)
        return
    commit = _git("rev-parse", _ref(source)) if source.experiment else source.revision
    with results.of_commit(str(commit)) as found:
        yield found


def _log(client: "MlflowClient", found: Results, source: Execution | None, name: str) -> Synced:
    """Logs what the runs of these results lack."""
    parent = _parent(client, found, source)
    new_numbers = new_files = 0
    for stage, files in found.stages.items():
        child = mlflow_runs.child_of(client, parent, stage, found.values, files)
        session = Session(client, stage, parent.info.run_id, child.info.run_id)
        logged = stage_record.record(session, files, found.root)
        new_numbers += logged.numbers
        new_files += logged.files
        if stage == SPLIT:
            path = str(found.values["data"]["path"])
            digest = found.lock.read(SPLIT, path) or "unknown"
            mlflow_store.log_dataset(session, SOURCE, digest, Path(path).name)
    return Synced(name, str(parent.info.run_name), new_numbers, new_files, found.missing)


def _parent(client: "MlflowClient", found: Results, source: Execution | None) -> "MlflowRun":
    """The row of these results: that of the experiment, or else one that they agree with."""
    if source and source.experiment:
        return mlflow_runs.parent_of(client, found.values, source)
    with_results = _parent_with(client, found)
    if with_results:
        return with_results

    numbers = _headlines(found)
    revision = source.revision if source else execution.revision()
    name = source.name if source else f"synced {execution.now()}"
    which = Execution(f"sync/{mlflow_runs.digest_of(numbers)}", name, revision)
    return mlflow_runs.parent_of(client, found.values, which)


def _parent_with(client: "MlflowClient", found: Results) -> "MlflowRun | None":
    """The last row with these params, and no other number or model than these results have."""
    numbers = _headlines(found)
    model = found.root / provenance.WEIGHTS
    is_there = model.is_file() and "train" in found.stages
    digest = mlflow_store.sha256(model) if is_there else None
    for run in mlflow_runs.with_params(client, found.values):
        same_numbers = all(run.data.metrics.get(key, one) == one for key, one in numbers.items())
        same_model = run.data.tags.get(mlflow_store.MODEL, digest) == digest
        if same_numbers and same_model:
            return run
    return None


def _headlines(found: Results) -> dict[str, float]:
    """The numbers of the metrics files that a parent shows, by their full names."""
    numbers = {}
    for stage, files in found.stages.items():
        for path in files.metrics:
            for name, value in stage_record.numbers(read_json(found.root / path)).items():
                numbers[f"{stage}/{name}"] = value
    return {name: one for name, one in numbers.items() if name in mlflow_store.HEADLINES}


def _ref(source: Execution) -> str:
    """Of an experiment in git."""
    baseline = str(source.revision)
    return f"refs/exps/{baseline[:2]}/{baseline[2:]}/{source.experiment}"


def _git(*arguments: str) -> str:
    """What git prints; empty when it fails."""
    done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
