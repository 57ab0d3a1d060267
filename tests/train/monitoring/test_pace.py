"""The time that is left: of the steps and validations of this process alone."""

import pytest

from archspec.train.monitoring.pace import Pace


def test_compilation_and_what_was_done_before_tell_nothing_of_what_is_left():
    """Taken up at step 950 of 1,000; 60 s of compilation; then 0.5 s a step."""
    pace = Pace(epochs=10, steps=100)
    assert pace.remaining(950) is None
    pace.begin_steps(951, now=60.0)
    assert pace.remaining(951) is None
    pace.note_steps(961, now=65.0)
    assert pace.remaining(961) == pytest.approx(39 * 0.5)


def test_validations_that_come_count_by_the_latest_and_are_no_part_of_a_steps_time():
    pace = Pace(epochs=4, steps=10)
    pace.begin_steps(0, now=0.0)
    pace.note_steps(10, now=10.0)
    pace.begin_validation(now=10.0)
    pace.begin_validation(now=12.0)  # of the averaged weights too
    pace.begin_steps(10, now=30.0)  # compiled with the first
    pace.note_steps(20, now=40.0)
    pace.begin_validation(now=40.0)
    pace.begin_steps(20, now=43.0)
    assert pace.remaining(20) == pytest.approx(20 * 1.0 + 2 * 3.0)


@pytest.mark.parametrize(
    ("epochs", "every", "done", "left"),
    [(10, 3, 1, 4), (10, 3, 3, 3), (9, 3, 8, 1), (10, 20, 2, 1)],
)
def test_the_last_epoch_is_always_validated(epochs, every, done, left):
    pace = Pace(epochs=epochs, steps=1, validate_every=every)
    pace.begin_validation(now=0.0)
    pace.begin_steps(done - 1, now=100.0)
    pace.note_steps(done, now=100.0)
    assert pace.remaining(done) == pytest.approx(left * 100.0)


def test_a_machine_that_becomes_slower_is_noticed():
    pace = Pace(epochs=1, steps=10_000)
    pace.begin_steps(0, now=0.0)
    for number in range(1, 101):
        pace.note_steps(number, now=float(number))
    for number in range(101, 201):
        pace.note_steps(number, now=100.0 + 3.0 * (number - 100))
    assert pace.remaining(200) == pytest.approx(9_800 * 3.0)


def test_nothing_is_left_at_the_end():
    pace = Pace(epochs=2, steps=5)
    pace.begin_steps(0, now=0.0)
    pace.note_steps(10, now=5.0)
    assert pace.remaining(10) == 0
