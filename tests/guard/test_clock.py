"""The service's time, told by a steady clock."""

from keybearer.guard._clock import DRIFT, ServiceClock

MS = 1_000_000
SECOND = 1000 * MS
START = 1_800_000_000_000


class Steady:
    def __init__(self) -> None:
        self.value = 5 * SECOND

    def __call__(self) -> int:
        return self.value


def measured(steady: Steady, round_trip: int = 2 * MS, service_now: int = START) -> ServiceClock:
    clock = ServiceClock(steady)
    sent = steady.value
    steady.value += round_trip
    clock.observe(sent, steady.value, service_now)
    return clock


def test_it_is_never_behind_and_ahead_by_a_round_trip() -> None:
    steady = Steady()
    clock = measured(steady, 40 * MS)
    assert 0 <= clock.now() - START <= 41
    steady.value += 10 * SECOND
    assert 0 <= clock.now() - START - 10_000 <= 41


def test_the_better_measurement_is_kept() -> None:
    steady = Steady()
    clock = measured(steady, 2 * MS)
    before = clock.now()
    sent = steady.value
    steady.value += 5 * SECOND  # an answer that was held up
    clock.observe(sent, steady.value, START + 1000)
    assert clock.now() == before + 5000
    clock = measured(steady, 5 * SECOND)
    assert clock.now() >= START + 5000
    sent = steady.value
    steady.value += MS
    clock.observe(sent, steady.value, START + 2500)
    steady.value += 5 * SECOND
    assert START + 7500 <= clock.now() <= START + 7502


def test_a_better_measurement_lets_it_stand_still_rather_than_step_back() -> None:
    steady = Steady()
    clock = measured(steady, 3 * SECOND)
    sent = steady.value
    steady.value += MS
    before = clock.now()
    clock.observe(sent, steady.value, START + 100)
    assert clock.now() == before
    steady.value += SECOND
    assert clock.now() == before
    steady.value += 3 * SECOND
    assert START + 4101 <= clock.now() <= START + 4103


def test_measurements_grow_old() -> None:
    steady = Steady()
    clock = measured(steady, 2 * MS)
    steady.value += 1000 * SECOND
    sent = steady.value
    steady.value += 20 * MS
    clock.observe(sent, steady.value, START + 1_000_100)  # within the drift of a thousand seconds
    assert 100 * DRIFT <= 1000 * 1000
    assert 0 <= clock.now() - (START + 1_000_100) <= 21


def test_a_service_that_is_set_forward_is_followed() -> None:
    steady = Steady()
    clock = measured(steady)
    sent = steady.value
    steady.value += SECOND
    assert clock.observe(sent, steady.value, START + 3_600_000) == 0
    assert START + 3_600_000 <= clock.now() <= START + 3_601_001


def test_a_service_that_is_set_back_is_followed_and_says_by_how_much() -> None:
    steady = Steady()
    clock = measured(steady)
    sent = steady.value
    steady.value += MS
    back = clock.observe(sent, steady.value, START - 3_600_000)
    assert 3_600_000 <= back <= 3_600_010
    assert START - 3_600_000 <= clock.now() <= START - 3_599_990
