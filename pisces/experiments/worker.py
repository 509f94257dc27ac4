"""A worker of a study: takes one trial after another until all are done.

Whatever is left to do stands in the storage; see `attempts`. So workers come and go as they like.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from pisces.core.texts import counted
from pisces.experiments import address, attempts, joining, storage, study, workplace
from pisces.experiments.attempt import Attempt, Failure
from pisces.experiments.attempts import ERROR, HANDED_BACK, ROOT, State, root_of
from pisces.experiments.predictions_of import SEED
from pisces.experiments.storage import Away, Claim, PatientStorage
from pisces.experiments.study import Study
from pisces.experiments.workplace import Unfit, Workplace

PATIENCE, LOST_AFTER = 600.0, 120
"""Seconds."""
MOST_FAILURES = 10
"""In a row, before a worker gives up."""
SECONDS_BETWEEN_LOOKS = 2.0
SECONDS_TO_HAND_BACK = 5.0


@dataclass
class Work:
    """What a worker has at hand."""

    spec: Study
    trials: optuna.Study
    store: PatientStorage
    claim: Claim
    place: Workplace
    base: Mapping[str, Any]
    """The params that the trials change."""
    failures: list[str] = field(default_factory=list)
    """What the last trials ended with, since one ended well."""
    is_waiting: bool = False
    current: int | None = None
    """Optuna's id of the attempt in hand."""


def work(
    spec: Study,
    name: str,
    url: URL,
    patience: float = PATIENCE,
    lost_after: int = LOST_AFTER,
) -> None:
    """Creates or joins a study, and works until it is done.

    Args:
        spec: what is searched for.
        name: of the study, and with a number of its experiments.
        url: of the storage, as `address.read` gives it.
        patience: seconds to wait for a storage that is away.
        lost_after: seconds without a heartbeat after which a trial is tried again.

    Raises:
        ValueError: when the repository, the storage or the study is not fit for it, when the
            storage does not come back, when the machine lets no trial run, or when trial after
            trial fails.
    """
    joining.require_name(name)
    root = Path.cwd()
    store = storage.open_storage(url, patience, lost_after)
    claim = storage.claim_of(url, name)
    try:
        with storage.held(claim, store):
            trials = joining.join(spec, name, store, root)
        with workplace.opened(root, trials.user_attrs[joining.REVISION]) as place:
            base = joining.base_of(spec, place.repository)
            joining.require_same_base(trials, base, spec.preset)
            count = counted(spec.trials, "trial")
            print(f"study {name}: {count}; the same command elsewhere joins it", flush=True)
            _work(Work(spec, trials, store, claim, place, base))
    except (Away, Unfit) as error:
        raise ValueError(str(error)) from None
    except (OptunaError, SQLAlchemyError) as error:
        raise ValueError(
            f"the storage {address.shown(url)} failed: {address.reason(error, url)}"
        ) from error


def _work(job: Work) -> None:
    """Takes trials until all are done, or the hours are over."""
    start = time.monotonic()
    limit = 3600 * job.spec.hours if job.spec.hours else float("inf")
    try:
        while _take_one(job):
            if time.monotonic() - start > limit:
                print(f"the {job.spec.hours:g} hours of this worker are over")
                break
    except BaseException:
        _hand_back(job)
        raise
    print(summary(job.trials, job.spec), flush=True)


def _take_one(job: Work) -> bool:
    """Runs a trial, or waits a moment where none is to begin; returns whether any is left."""
    with storage.held(job.claim, job.store):
        states = attempts.renew(job.trials, job.spec.trials, job.spec.retries)
        left = [state for state in states.values() if state not in attempts.DONE]
        if "waiting" in left:
            job.is_waiting = False
            _run_next(job)
            return True

    if left and not job.is_waiting:
        print(_waited_for(job), flush=True)
        job.is_waiting = True
    if left:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return bool(left)


def _waited_for(job: Work) -> str:
    """Who has the trials that are left, and for how long nobody knows that one has died."""
    running = job.trials.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    named = [f"{job.trials.study_name}-{root_of(one)}{_who_has(one)}" for one in running]
    return (
        f"no trial is left to begin; waiting for {', '.join(named)}; one whose worker gives no "
        f"sign of life for {job.store.lost_after} s is tried again"
    )


def _who_has(attempt: FrozenTrial) -> str:
    """The machine and the process that run an attempt, as far as they have said so."""
    told = attempt.user_attrs
    return f" on {told['host']}, process {told['pid']}" if {"host", "pid"} <= told.keys() else ""


def _run_next(job: Work) -> None:
    """Runs the trial that Optuna takes next, the first that waits."""
    waiting = job.trials.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    first = min(waiting, key=lambda one: one.number)
    job.trials.sampler = study.sampler(job.spec, first.user_attrs[ROOT])
    job.trials.pruner = study.pruner(job.spec)
    job.current = None
    try:
        # Heartbeats are only sent from within `optimize`.
        job.trials.optimize(lambda one: _objective(job, one), n_trials=1, catch=(Failure,))
    except (ValueError, UpdateFinishedTrialError):
        if job.current is None or not job.store.get_trial(job.current).state.is_finished():
            raise
        print("the trial in hand was taken for lost while the storage was away, and is tried again")
    except (AssertionError, UnboundLocalError) as error:
        # Optuna stumbles when it cannot tell the storage of a trial, and so hides why.
        hidden = error.__context__
        if not isinstance(hidden, Away | OptunaError | SQLAlchemyError):
            raise
        raise hidden from hidden.__cause__
    _note(job)


def _objective(job: Work, one: optuna.Trial) -> float:
    """What Optuna asks for: the value of a trial."""
    job.current = one._trial_id
    attempt = Attempt(one, job.trials, job.spec, job.place, job.base)
    attempt.draw()
    job.claim.release()
    return attempt.run()


def _note(job: Work) -> None:
    """Remembers how the last trial ended.

    Raises:
        ValueError: when so many failed in a row that the next ones will, too.
    """
    assert job.current is not None, "a trial has been run"
    last = job.store.get_trial(job.current)
    if last.state in (TrialState.COMPLETE, TrialState.PRUNED):
        job.failures.clear()
    elif ERROR in last.user_attrs:
        job.failures.append(last.user_attrs[ERROR])
    if len(job.failures) >= MOST_FAILURES:
        raise ValueError(
            f"{MOST_FAILURES} trials in a row failed, so that this worker stops; the last: "
            f"{job.failures[-1]}"
        )


def _hand_back(job: Work) -> None:
    """Lets others have the trial in hand at once, and not only when its heartbeat is missed."""
    job.store.hurry(SECONDS_TO_HAND_BACK)
    with suppress(Away, OptunaError, SQLAlchemyError, OSError):
        running = job.trials.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        own = [one for one in running if one.user_attrs.get(storage.WORKER) == job.store.worker]
        for one in own:
            job.store.set_trial_user_attr(one._trial_id, HANDED_BACK, True)
            job.store.set_trial_state_values(one._trial_id, TrialState.FAIL)
        if own and job.claim.take():
            attempts.renew(job.trials, job.spec.trials, job.spec.retries)
            job.claim.release()


def summary(trials: optuna.Study, spec: Study) -> str:
    """What has come of the trials so far, and which is best, in a few lines."""
    roots = attempts.by_root(trials.get_trials(deepcopy=False), spec.trials)
    states = attempts.states(roots, spec.retries)
    counts: Counter[State] = Counter(map(attempts.told, states.values()))
    parts = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    lines = [f"{trials.study_name}: {counted(len(roots), 'trial')}, {parts}"]

    finished = [attempts.decisive(roots[root]) for root, one in states.items() if one == "finished"]
    # The best of several seeds is the luckiest one.
    if finished and SEED not in spec.space:
        sign = 1 if spec.direction == "maximize" else -1
        best = max(finished, key=lambda one: sign * (one.value or 0.0))
        name = best.user_attrs["experiment"]
        settings = json.dumps(best.user_attrs["settings"])
        lines.append(f"best: {name} with {spec.metric} = {best.value:.6g}, {settings}")
        lines.append(f"to have it here: python -m pisces restore {name}")
    return "\n".join(lines)
