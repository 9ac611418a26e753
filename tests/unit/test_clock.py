"""The process's clock under corrections of the wall clock, suspends and threads. All time here is made by hand."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybearer.server.adapters.clock import SLEW, SystemClock

START = 1_800_000_000_000
"""Milliseconds."""

MS = 1_000_000
HOUR = 3_600_000


class Machine:
    """Both clocks of a machine, in nanoseconds."""

    def __init__(self) -> None:
        self.wall = START * MS
        self.steady = 5 * MS
        self.clock = SystemClock(lambda: self.wall, lambda: self.steady)

    def pass_time(self, milliseconds: int) -> None:
        self.wall += milliseconds * MS
        self.steady += milliseconds * MS

    def step_wall(self, milliseconds: int) -> None:
        self.wall += milliseconds * MS


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_it_begins_with_the_wall_clock(machine: Machine) -> None:
    assert machine.clock.now() == START
    assert machine.clock.drift() == 0


def test_it_runs_with_time(machine: Machine) -> None:
    for _ in range(1000):
        machine.pass_time(7)
    assert machine.clock.now() == START + 7000
    assert machine.clock.drift() == 0


def test_parts_of_a_millisecond_are_not_lost(machine: Machine) -> None:
    for _ in range(3000):
        machine.wall += MS // 3
        machine.steady += MS // 3
        machine.clock.now()
    assert machine.clock.now() in {START + 999, START + 1000}


@pytest.mark.parametrize("step", [-10 * HOUR, -HOUR, -1000, 1000, HOUR, 10 * HOUR])
def test_a_step_of_the_wall_clock_moves_nothing_at_once(machine: Machine, step: int) -> None:
    machine.step_wall(step)
    assert machine.clock.now() == START
    assert machine.clock.drift() == step
    machine.pass_time(60_000)
    age = machine.clock.now() - START
    assert abs(age - 60_000) <= 60_000 // SLEW, "an age is wrong by one part in SLEW at most"
    assert abs(machine.clock.drift()) < abs(step)


@pytest.mark.parametrize("step", [-1000, 1000])
def test_it_comes_back_to_the_wall_clock_and_stays(machine: Machine, step: int) -> None:
    machine.step_wall(step)
    for _ in range(3 * SLEW):
        machine.pass_time(500)
        machine.clock.now()
    assert machine.clock.drift() == 0
    machine.pass_time(86_400_000)
    assert machine.clock.drift() == 0


def test_a_suspend_counts_as_time(machine: Machine) -> None:
    """Both clocks run on through it (CLOCK_BOOTTIME), so that an age measured across it is right."""
    before = machine.clock.now()
    machine.pass_time(8 * HOUR)
    assert machine.clock.now() - before == 8 * HOUR


def test_a_suspend_that_the_steady_clock_missed_is_caught_up_slowly(machine: Machine) -> None:
    machine.step_wall(8 * HOUR)
    machine.pass_time(1000)
    assert machine.clock.now() - START in {1000, 1001}


def test_it_never_steps_back_even_when_the_steady_clock_does(machine: Machine) -> None:
    machine.pass_time(1000)
    before = machine.clock.now()
    machine.steady -= 500 * MS
    assert machine.clock.now() == before
    machine.steady += 200 * MS
    assert machine.clock.now() == before


@given(st.lists(st.tuples(st.integers(0, 10 * HOUR), st.integers(-10 * HOUR, 10 * HOUR)), max_size=30))
def test_whatever_happens_it_advances_and_ages_are_right(happenings: list[tuple[int, int]]) -> None:
    machine = Machine()
    passed = 0
    last = START
    for milliseconds, step in happenings:
        machine.pass_time(milliseconds)
        machine.step_wall(step)
        passed += milliseconds
        now = machine.clock.now()
        assert now >= last
        assert abs(now - START - passed) <= passed / SLEW + 1
        last = now


def test_no_time_is_lost_between_threads() -> None:
    """A thread that is stopped in the middle of a reading must not undo what another one has added meanwhile."""
    machine = Machine()
    both_are_reading = threading.Barrier(2)
    meeting = False
    steady_readings = iter([machine.steady, machine.steady + 1000 * MS, machine.steady + 2000 * MS])

    def wall() -> int:
        if meeting:
            with suppress(threading.BrokenBarrierError):  # as it should be: the other thread has to wait its turn
                both_are_reading.wait(0.2)
        return machine.wall

    clock = SystemClock(wall, lambda: next(steady_readings, machine.steady))
    machine.pass_time(2000)
    meeting = True
    with ThreadPoolExecutor(2) as threads:
        readings = sorted(future.result() for future in [threads.submit(clock.now) for _ in range(2)])
    meeting = False
    assert readings[0] - START in {1000, 1001}
    assert clock.now() == readings[1] == START + 2000


def test_the_clocks_of_this_machine() -> None:
    clock = SystemClock()
    readings = [clock.now() for _ in range(1000)]
    assert readings == sorted(readings)
    assert abs(clock.drift()) < 1000
