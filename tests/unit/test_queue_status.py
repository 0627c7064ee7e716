from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.status import (
    FINAL_RUN,
    FINAL_TASK,
    LEGAL_RUN,
    LEGAL_TASK,
    RunStatus,
    TaskStatus,
    check_run_transition,
    check_task_transition,
)
from codebot.errors import InvalidTransition


@given(st.sampled_from(RunStatus), st.sampled_from(RunStatus))
def test_a_run_goes_only_the_ways_that_the_table_has(old: RunStatus, new: RunStatus) -> None:
    assert allows(lambda: check_run_transition(old, new)) == (new in LEGAL_RUN[old])


@given(st.sampled_from(TaskStatus), st.sampled_from(TaskStatus))
def test_a_task_goes_only_the_ways_that_the_table_has(old: TaskStatus, new: TaskStatus) -> None:
    assert allows(lambda: check_task_transition(old, new)) == (new in LEGAL_TASK[old])


@given(st.sampled_from(sorted(FINAL_RUN)), st.sampled_from(RunStatus))
def test_a_run_that_ended_stays_as_it_is(old: RunStatus, new: RunStatus) -> None:
    assert not allows(lambda: check_run_transition(old, new))


@given(st.lists(st.sampled_from(TaskStatus), max_size=20))
def test_a_task_never_completes_twice(wanted: list[TaskStatus]) -> None:
    status, completions = TaskStatus.PENDING, 0
    for new in wanted:
        if allows(lambda old=status, new=new: check_task_transition(old, new)):
            status = new
            completions += new is TaskStatus.COMPLETED

    assert completions <= 1
    assert status in FINAL_TASK or completions == 0


def allows(check: Callable[[], None]) -> bool:
    try:
        check()
    except InvalidTransition:
        return False
    return True
