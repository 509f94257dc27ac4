"""Kills the workers of a sweep, stops its storage, and looks whether a trial is lost or run twice.

    python -m benchmarks.sweep_kills [--trials 40] [--kills 10] [--outage 30] [--write]

Works on a clone of the last commit with a PostgreSQL of its own, from the packages of the system.
With --write the table of what happened goes into docs/results/sweeps.md.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from benchmarks import postgres, tiny_sweep
from benchmarks.clones import make_clone
from benchmarks.pages import table, write_between
from benchmarks.timing import machine_and_date
from pisces.experiments import address, attempts, storage

PAGE = Path("docs/results/sweeps.md")
START, END = "<!-- kills -->\n", "<!-- end of kills -->\n"
NAME = "kills"
LOST_AFTER, PATIENCE = 20, 300
SECONDS_BETWEEN_LOOKS = 0.5

FIXED = {
    "train.epochs": 20,  # long enough to be killed in
    "train.optimizer": "adam",
    "data.frames_per_cell": 60,
    "synthesize.frames_per_cell": 60,
}
SPACE = {
    "train.lr": {"from": 1e-4, "to": 1e-2, "log": True},
    "train.weight_decay": {"from": 1e-6, "to": 1e-2, "log": True},
}


@dataclass
class Event:
    """What was done to the study, and what it had in hand."""

    seconds: float
    what: str
    trial: int | None = None
    """Root of the trial that the worker had."""
    epochs: int = 0
    """That it had reported."""


@dataclass
class Sweep:
    """A study under way."""

    folder: Path
    environment: Mapping[str, str]
    trials: optuna.Study
    count: int
    begun: float
    workers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def start_worker(self, place: int) -> None:
        """Starts a worker, in the place of one that is gone."""
        command = [sys.executable, "-m", "pisces", "sweep", "run", f"sweeps/{NAME}.yaml"]
        command += ["--lost-after", str(LOST_AFTER), "--patience", str(PATIENCE)]
        with (self.folder.parent / f"worker-{place}.log").open("ab") as log:
            worker = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        self.workers[place:] = [worker, *self.workers[place + 1 :]]

    def all_attempts(self) -> list[FrozenTrial]:
        return self.trials.get_trials(deepcopy=False)

    def done(self) -> int:
        """Trials that have ended well."""
        return sum(one.state is TrialState.COMPLETE for one in self.all_attempts())

    def in_hand(self, worker: "subprocess.Popen[bytes]") -> tuple[int | None, int]:
        """Root and reported epochs of what a worker runs."""
        for one in self.all_attempts():
            if one.state is TrialState.RUNNING and one.user_attrs.get("pid") == worker.pid:
                return one.user_attrs["root"], len(one.intermediate_values)
        return None, 0

    def note(self, what: str, trial: int | None = None, epochs: int = 0) -> None:
        event = Event(time.monotonic() - self.begun, what, trial, epochs)
        self.events.append(event)
        print(f"{event.seconds:5.0f} s: {what}; trial {trial}, {epochs} epochs", flush=True)

    def kill(self, place: int) -> None:
        """Kills a worker and starts another one in its place."""
        trial, epochs = self.in_hand(self.workers[place])
        self.workers[place].send_signal(signal.SIGKILL)
        self.workers[place].wait()
        self.note(f"worker {place + 1} killed (SIGKILL)", trial, epochs)
        self.start_worker(place)


def prepare(folder: Path, trials: int, environment: Mapping[str, str]) -> None:
    """A clone with a tiny preset and a study of it, committed."""
    make_clone(folder, "smoke", environment=environment)
    study = tiny_sweep.STUDY | {"trials": trials, "retries": 20, "fixed": FIXED, "space": SPACE}
    (folder / f"presets/{study['preset']}.yaml").write_text(tiny_sweep.PRESET)
    (folder / f"sweeps/{NAME}.yaml").write_text(json.dumps(study))
    for command in (("add", "-A"), ("commit", "-qm", "tiny trials")):
        subprocess.run(["git", *command], cwd=folder, env=environment, check=True)


def perform(sweep: Sweep, server: postgres.Server, kills: int, outage: int, seed: int) -> None:
    """Runs the study to its end, with kills at random moments and one outage in the middle.

    Args:
        sweep: whose workers run.
        server: of the storage.
        kills: how many; every second one comes right after an epoch.
        outage: seconds for which the storage is stopped.
        seed: of the moments, and of who is killed.
    """
    rng = np.random.default_rng(seed)
    gap = sweep.count / (kills + 1)
    for number in range(kills):
        wait_until_done(sweep, int((number + 0.5) * gap))
        pause = (time.monotonic() - sweep.begun) * len(sweep.workers) / max(1, sweep.done())
        place = int(rng.integers(len(sweep.workers)))
        if number % 2:
            wait_until_trained(sweep, place)
        else:
            time.sleep(float(rng.uniform(0, min(pause, 60))))
        sweep.kill(place)
        if number == kills // 2:
            server.stop()
            sweep.events.append(Event(time.monotonic() - sweep.begun, "PostgreSQL stopped"))
            time.sleep(outage)
            server.start()
            sweep.note(f"PostgreSQL started again after {outage} s")
    while any(worker.poll() is None for worker in sweep.workers):
        restart_failed(sweep)
        time.sleep(SECONDS_BETWEEN_LOOKS)


def wait_until_done(sweep: Sweep, trials: int) -> None:
    while sweep.done() < trials:
        restart_failed(sweep)
        time.sleep(SECONDS_BETWEEN_LOOKS)


def wait_until_trained(sweep: Sweep, place: int) -> None:
    """Returns when a worker has reported an epoch of its trial; at most two minutes later."""
    limit = time.monotonic() + 120
    while sweep.in_hand(sweep.workers[place])[1] < 1 and time.monotonic() < limit:
        time.sleep(SECONDS_BETWEEN_LOOKS / 5)


def restart_failed(sweep: Sweep) -> None:
    """Starts a worker again that ended by itself before the study was done, as SLURM would."""
    for place, worker in enumerate(sweep.workers):
        if worker.poll():
            sweep.note(f"worker {place + 1} ended with status {worker.returncode}, started again")
            sweep.start_worker(place)


def rows(sweep: Sweep, roots: Mapping[int, list[FrozenTrial]]) -> list[dict[str, str]]:
    """Of the table: what was done, and what came of the trial in hand."""
    found = []
    for event in sweep.events:
        trial, then = "none", ""
        if event.trial is not None:
            trial = f"{NAME}-{event.trial}, {event.epochs} epochs"
            tried = roots[event.trial]
            last = attempts.decisive(tried)
            epoch = last.user_attrs.get("resumed")
            way = f"resumed after epoch {epoch}" if epoch else "begun anew"
            if last.user_attrs.get("from_run_cache"):
                way = "from DVC's run cache"
            then = f"{attempts.end_of(last)} at attempt {len(tried)}, {way}"
        row = {"after": f"{event.seconds:.0f} s", "event": event.what, "trial in hand": trial}
        found.append(row | {"what came of it": then})
    return found


def verdict(sweep: Sweep, roots: Mapping[int, list[FrozenTrial]]) -> str:
    """Whether every trial has ended once, in one sentence."""
    ended = [sum(one.state is TrialState.COMPLETE for one in tried) for tried in roots.values()]
    command = ["git", "for-each-ref", "--format=%(refname)", "refs/exps"]
    printed = subprocess.run(
        command, cwd=sweep.folder, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    experiments = [line for line in printed.splitlines() if f"/{NAME}-" in line]
    lost = sum(map(attempts.losses, roots.values()))
    return (
        f"{sum(one > 0 for one in ended)} of {sweep.count} trials finished, "
        f"{sum(one > 1 for one in ended)} of them twice; {len(experiments)} experiments of DVC; "
        f"{lost} attempts lost and made good; {time.monotonic() - sweep.begun:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--outage", type=int, default=30, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"the table into {PAGE}")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary, postgres.server() as server:
        environment = os.environ | {
            "PISCES_TRACKING": "off",
            address.VARIABLE: server.url,
            "PGPASSWORD": postgres.PASSWORD,
            "DVC_SITE_CACHE_DIR": str(Path(temporary) / "site_cache"),
        }
        folder = Path(temporary) / "pisces"
        prepare(folder, options.trials, environment)
        os.environ["PGPASSWORD"] = postgres.PASSWORD
        store = storage.open_storage(address.read(server.url), PATIENCE, LOST_AFTER)
        begun = time.monotonic()
        sweep = Sweep(folder, environment, None, options.trials, begun)  # type: ignore[arg-type]
        sweep.start_worker(0)
        while not any(one.study_name == NAME for one in store.get_all_studies()):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        sweep.trials = optuna.load_study(study_name=NAME, storage=store)
        for place in range(1, options.workers):
            sweep.start_worker(place)
        try:
            perform(sweep, server, options.kills, options.outage, options.seed)
        finally:
            for worker in sweep.workers:
                with suppress(ProcessLookupError):
                    worker.terminate()
            for log in sorted(Path(temporary).glob("worker-*.log")):
                print(f"{log.name}:\n{log.read_text()}")

        roots = attempts.by_root(sweep.all_attempts(), options.trials)
        said = f"{verdict(sweep, roots)} ({machine_and_date()})\n"
        made = f"{said}\n{table(rows(sweep, roots))}"
        print(made)
        if options.write:
            write_between(PAGE, START, END, made)


if __name__ == "__main__":
    main()
