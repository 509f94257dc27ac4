"""The attempts at each trial of a study: which are left to begin, which were lost, which are done.

A study of N trials has the roots 0 .. N - 1. Whatever is tried for a root is an attempt: a trial of
Optuna whose user attribute `root` names it. What is to be done follows from the attempts alone, so
that it does not matter at which moment a worker died.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import optuna
from optuna.trial import FrozenTrial, TrialState

ROOT, ERROR, SURPLUS, HANDED_BACK = "root", "error", "surplus", "handed_back"
"""User attributes of an attempt: its root; why its stages failed; that another does the same; that
its worker was stopped and gave it back."""

End = Literal["finished", "pruned", "failed", "running", "waiting", "handed back", "lost"]
"""What came of an attempt, or is to come; the first that one of a trial has says what came of it.
"""
State = Literal["missing", "lost", "waiting", "running", "finished", "pruned", "failed"]
"""How far a trial has come. One that is lost has attempts left, else it failed."""
DONE: tuple[State, ...] = ("finished", "pruned", "failed")

_ENDS: Mapping[TrialState, End] = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
_RANKS = get_args(End)


def root_of(attempt: FrozenTrial) -> int:
    """The trial that an attempt is at; its own number where another program made it."""
    return attempt.user_attrs.get(ROOT, attempt.number)


def end_of(attempt: FrozenTrial) -> End:
    """What came of an attempt."""
    if attempt.state is not TrialState.FAIL:
        return _ENDS[attempt.state]
    if ERROR in attempt.user_attrs:
        return "failed"
    return "handed back" if attempt.user_attrs.get(HANDED_BACK) else "lost"


def by_root(trials: Iterable[FrozenTrial], count: int) -> dict[int, list[FrozenTrial]]:
    """The attempts at each root, oldest first.

    Args:
        trials: all of a study.
        count: roots that there are at least.

    Returns:
        Root -> its attempts, without those that are surplus.
    """
    found: dict[int, list[FrozenTrial]] = {root: [] for root in range(count)}
    for trial in sorted(trials, key=lambda one: one.number):
        if ROOT in trial.user_attrs and not trial.user_attrs.get(SURPLUS):
            found.setdefault(trial.user_attrs[ROOT], []).append(trial)
    return dict(sorted(found.items()))


def losses(attempts: Sequence[FrozenTrial]) -> int:
    """How many of the attempts were lost: neither ended, nor failed, nor handed back."""
    return [end_of(one) for one in attempts].count("lost")


def _is_unfinished(attempt: FrozenTrial) -> bool:
    return end_of(attempt) in ("handed back", "lost")


def state_of(attempts: Sequence[FrozenTrial], retries: int) -> State:
    """How far the attempts at a root have come.

    Args:
        attempts: at it.
        retries: how many losses are made good.

    Returns:
        The best state that one of them has; `failed` where too many were lost.
    """
    if not attempts:
        return "missing"
    end = end_of(decisive(attempts))
    if end == "handed back" or end == "lost":
        return "failed" if losses(attempts) > retries else "lost"
    return end


def told(state: State) -> State:
    """A state as summaries and reports say it: what is still to be done waits for a worker."""
    return "waiting" if state in ("missing", "lost") else state


def states(roots: Mapping[int, Sequence[FrozenTrial]], retries: int) -> dict[int, State]:
    """Root -> how far its attempts have come."""
    return {root: state_of(attempts, retries) for root, attempts in roots.items()}


def decisive(attempts: Sequence[FrozenTrial]) -> FrozenTrial:
    """The attempt that says what came of a root: of those that came furthest the first."""
    return min(attempts, key=lambda one: (_RANKS.index(end_of(one)), one.number))


def renew(study: optuna.Study, count: int, retries: int) -> dict[int, State]:
    """Puts what is missing or lost among the waiting trials; whoever calls it holds the claim.

    Args:
        study: of Optuna.
        count: of its trials.
        retries: how often a lost one is tried again.

    Returns:
        Root -> state, as it is then.
    """
    _fail_lost(study)
    roots = by_root(study.get_trials(deepcopy=False), count)
    found = states(roots, retries)
    for root, state in found.items():
        if state in ("missing", "lost"):
            study.add_trial(_new_attempt(root, roots[root]))
            found[root] = "waiting"
        else:
            _leave_out(study, [one for one in roots[root][1:] if _is_surplus(one, roots[root])])
    return found


def _fail_lost(study: optuna.Study) -> None:
    """Ends the attempts that have no heartbeat any more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is experimental
        optuna.storages.fail_stale_trials(study)


def _new_attempt(root: int, before: Sequence[FrozenTrial]) -> FrozenTrial:
    """One that waits: as the last attempt was, whose epochs its checkpoint still has."""
    if not before:
        return optuna.trial.create_trial(state=TrialState.WAITING, user_attrs={ROOT: root})
    last = before[-1]
    return optuna.trial.create_trial(
        state=TrialState.WAITING,
        params=last.params,
        distributions=last.distributions,
        user_attrs={ROOT: root},
        system_attrs=last.system_attrs,
        intermediate_values=last.intermediate_values,
    )


def _is_surplus(attempt: FrozenTrial, attempts: Sequence[FrozenTrial]) -> bool:
    """Whether an attempt waits that an earlier one makes needless."""
    earlier = [one for one in attempts if one.number < attempt.number]
    return attempt.state is TrialState.WAITING and any(not _is_unfinished(one) for one in earlier)


def _leave_out(study: optuna.Study, attempts: Iterable[FrozenTrial]) -> None:
    for attempt in attempts:
        study._storage.set_trial_user_attr(attempt._trial_id, SURPLUS, True)
        study._storage.set_trial_state_values(attempt._trial_id, TrialState.FAIL)


def is_needless(attempt: FrozenTrial, attempts: Sequence[FrozenTrial]) -> bool:
    """Whether an attempt that has begun does what another one does or has done."""
    others = [one for one in attempts if one.number != attempt.number]
    ended = any(one.state in (TrialState.COMPLETE, TrialState.PRUNED) for one in others)
    earlier = [one for one in others if one.number < attempt.number]
    return ended or any(one.state is TrialState.RUNNING for one in earlier)
