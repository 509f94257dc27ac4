"""One run of a stage at a time, which clears up after those that were killed.

A killed `dvc` leaves its stage running; see `dvc_process`. The next run waits until it has ended.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pisces.core import work
from pisces.core.locks import LockFile
from pisces.run import console, output_folders

MEMORY = {
    "synthesize": ("synthesize.frames_per_cell", "synthesize.samples"),
    "split_hdf5": ("data.frames_per_cell", "data.snrs_db"),
    "render": ("render.views", "render.size"),
    "stratify": ("data.frames_per_cell",),
    "train": ("train.batch_size", "train.model", "render.size", "render.views"),
    "evaluate": ("train.model", "render.size", "render.views"),
    "perturb": ("perturb.frames_per_cell", "perturb.regions", "render.size"),
    "pis": ("perturb.frames_per_cell", "perturb.levels_percent", "train.model", "render.size"),
    "tune_masks": ("train.batch_size", "train.model", "render.size", "render.views"),
    "attribute": ("attribute.frames_per_cell", "attribute.rise_masks", "attribute.ig_steps"),
    "counterfactual": ("counterfactual.frames_per_cell", "train.model", "render.size"),
    "limits": ("limits.blind_frames", "limits.trials", "render.views"),
    "explore": ("explore.frames", "perturb.levels_percent", "render.size", "render.views"),
    "report": ("render.size", "render.views"),
    "page": ("explore.frames", "render.views"),
}
"""Stage -> the params that its memory grows with, the strongest first."""


def run(stage: str, main: Callable[[], None]) -> None:
    """Runs a stage as `console.run` does, and as the only one of its name that writes here."""

    def guarded() -> None:
        with only_run(stage):
            main()

    console.run(guarded)


@contextmanager
def only_run(stage: str) -> Iterator[None]:
    """Waits until no other run of this stage writes here, and then holds others off.

    Of several processes the first does this for all, and looks at the folders of the outputs.
    """
    if not console.is_first_process():
        yield
        return

    output_folders.require(stage)
    place = Path(work.WORK)
    place.mkdir(exist_ok=True)

    def say() -> None:
        print(f"another run of {stage} is writing here; waiting for it to end", flush=True)

    with LockFile(place / f"{stage}.lock").wait(say) as lock:
        if lock.was_abandoned:
            print(_last_was_killed(stage), flush=True)
        work.tidy(place)
        yield


def _last_was_killed(stage: str) -> str:
    return (
        f"the last run of {stage} was killed (exit status -9 or 137): by kill -9, or by the system "
        f"because memory ran out; if it was memory, lower {', '.join(MEMORY[stage])}"
    )
