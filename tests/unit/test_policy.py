from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from codebot.queue.policy import FIRST_DELAY, LONGEST_DELAY, next_delay, retry_delay

ATTEMPTS = st.integers(min_value=1, max_value=10_000)
DELAYS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3))


@given(ATTEMPTS, ATTEMPTS)
def test_delays_grow_but_never_beyond_the_longest(attempt: int, more: int) -> None:
    sooner = next_delay(attempt, max_attempts=100_000)
    later = next_delay(attempt + more, max_attempts=100_000)

    assert sooner is not None
    assert later is not None
    assert FIRST_DELAY <= sooner <= later <= LONGEST_DELAY


@given(ATTEMPTS, ATTEMPTS)
def test_a_run_is_given_up_exactly_when_its_attempts_are_used_up(attempt: int, most: int) -> None:
    assert (next_delay(attempt, max_attempts=most) is None) == (attempt >= most)


@given(ATTEMPTS, DELAYS)
def test_nothing_is_tried_again_before_its_error_allows_it(
    failures: int, retry_after: timedelta
) -> None:
    delay = retry_delay(failures, retry_after)

    assert delay is None or delay >= retry_after


@given(ATTEMPTS)
def test_an_error_that_names_no_delay_is_never_retried(failures: int) -> None:
    assert retry_delay(failures, None) is None
