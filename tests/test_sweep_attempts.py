"""What is left to do of a study follows from its trials, whenever a worker died."""

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from pisces.experiments import attempts
from pisces.experiments.attempts import ERROR, HANDED_BACK, ROOT, SURPLUS

FAIL, WAITING, RUNNING = TrialState.FAIL, TrialState.WAITING, TrialState.RUNNING
COMPLETE, PRUNED = TrialState.COMPLETE, TrialState.PRUNED
RETRIES = 2


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study()


def add(study: optuna.Study, root: int | None, state: TrialState, **attributes) -> None:
    """An attempt at a root, or a trial of another origin."""
    own = attributes if root is None else attributes | {ROOT: root}
    value = 1.0 if state is COMPLETE else None
    study.add_trial(create_trial(state=state, value=value, user_attrs=own))


def renewed(study: optuna.Study, count: int = 1) -> list[str]:
    return list(attempts.renew(study, count, RETRIES).values())


def states(study: optuna.Study) -> list[TrialState]:
    return [one.state for one in study.trials]


def test_a_new_study_gets_all_its_trials_once(study):
    for _ in range(2):
        assert renewed(study, count=3) == 3 * ["waiting"]
    assert [one.user_attrs[ROOT] for one in study.trials] == [0, 1, 2]


def test_a_study_that_was_made_half_is_completed(study):
    add(study, 1, WAITING)
    renewed(study, count=3)
    assert sorted(one.user_attrs[ROOT] for one in study.trials) == [0, 1, 2]


@pytest.mark.parametrize(
    ("before", "state"),
    [
        ([COMPLETE], "finished"),
        ([PRUNED], "pruned"),
        ([RUNNING], "running"),
        ([WAITING], "waiting"),
        ([FAIL, RUNNING], "running"),
        ([FAIL, COMPLETE], "finished"),
        ([COMPLETE, FAIL], "finished"),
    ],
)
def test_what_goes_on_or_has_ended_is_left_alone(study, before, state):
    for one in before:
        add(study, 0, one)
    assert renewed(study) == [state]
    assert states(study) == before


def test_a_lost_attempt_waits_again_with_all_that_was_drawn_and_reported(study):
    lost = create_trial(
        state=FAIL,
        params={"x": 0.25},
        distributions={"x": FloatDistribution(0, 1)},
        user_attrs={ROOT: 0, "host": "gone"},
        system_attrs={"grid_id": 7},
        intermediate_values={1: 0.5},
    )
    study.add_trial(lost)
    assert renewed(study) == ["waiting"]
    again = study.trials[1]
    assert again.state is WAITING
    assert again.params == {"x": 0.25}
    assert again.intermediate_values == {1: 0.5}
    assert again.system_attrs["grid_id"] == 7
    assert again.user_attrs == {ROOT: 0}


def test_a_trial_whose_stage_failed_is_not_tried_again(study):
    add(study, 0, FAIL, **{ERROR: "out of range"})
    assert renewed(study) == ["failed"]
    assert states(study) == [FAIL]


def test_a_trial_that_is_lost_too_often_is_given_up(study):
    add(study, 0, FAIL)
    for _ in range(RETRIES):
        assert renewed(study) == ["waiting"]
        study.tell(study.ask(), state=FAIL)
    assert renewed(study) == ["failed"]
    assert len(study.trials) == 1 + RETRIES


def test_what_is_handed_back_is_no_loss(study):
    for _ in range(RETRIES + 3):
        add(study, 0, FAIL, **{HANDED_BACK: True})
    assert renewed(study) == ["waiting"]


def test_an_attempt_that_was_made_twice_is_left_out(study):
    add(study, 0, WAITING)
    add(study, 0, WAITING)
    assert renewed(study) == ["waiting"]
    assert states(study) == [WAITING, FAIL]
    assert study.trials[1].user_attrs[SURPLUS]
    assert renewed(study) == ["waiting"]


def test_what_waits_for_an_ended_trial_is_left_out(study):
    add(study, 0, COMPLETE)
    add(study, 0, WAITING)
    assert renewed(study) == ["finished"]
    assert states(study) == [COMPLETE, FAIL]


def test_trials_of_others_do_not_count(study):
    add(study, None, COMPLETE)
    assert renewed(study) == ["waiting"]


def test_of_two_that_run_at_the_same_root_the_first_goes_on(study):
    for _ in range(2):
        add(study, 0, RUNNING)
    of_root = attempts.by_root(study.trials, 1)[0]
    assert [attempts.is_needless(one, of_root) for one in of_root] == [False, True]


def test_what_came_of_a_trial_is_said_by_the_attempt_that_came_furthest(study):
    for state in (FAIL, PRUNED, COMPLETE, RUNNING):
        add(study, 0, state)
    assert attempts.decisive(study.trials).state is COMPLETE
    assert attempts.decisive(study.trials[:2]).state is PRUNED
    assert attempts.decisive(study.trials[:1]).state is FAIL
