"""The clock calls functions at exact instants, in a fixed order where instants are equal."""

import pytest

from sim.clock import CLIENT_ORDER, ENGINE_ORDER, Clock


def test_an_alarm_rings_at_exactly_its_instant():
    clock, rung = Clock(), []
    at = 0.1 + 0.2  # not reached by adding delays to 0.1
    clock.call_at(0.1, lambda _: clock.call_at(at, lambda alarm: rung.append((clock.now, alarm.at))))
    clock.run()
    assert rung == [(at, at)]


def test_at_one_instant_clients_come_before_engines_and_engines_by_their_number():
    clock, rung = Clock(), []
    for name, order in (("engine 1", ENGINE_ORDER + 1), ("engine 0", ENGINE_ORDER), ("client", CLIENT_ORDER)):
        clock.call_at(1.0, lambda _, name=name: rung.append(name), order)
    clock.run()
    assert rung == ["client", "engine 0", "engine 1"]


def test_alarms_of_equal_instant_and_order_ring_as_they_were_made():
    clock, rung = Clock(), []
    for number in range(20):
        clock.call_at(1.0, lambda _, number=number: rung.append(number))
    clock.run()
    assert rung == list(range(20))


def test_a_cancelled_alarm_does_nothing():
    clock, rung = Clock(), []
    clock.call_at(1.0, rung.append).cancel()
    clock.run()
    assert rung == []


def test_an_alarm_in_the_past_is_refused_with_both_instants():
    clock = Clock()
    clock.call_at(2.0, lambda _: clock.call_at(1.0, lambda _: None))
    with pytest.raises(ValueError, match=r"at=1\.0 must not be before now=2\.0"):
        clock.run()


def test_an_alarm_for_now_still_rings():
    clock, rung = Clock(), []
    clock.call_at(2.0, lambda _: clock.call_at(2.0, rung.append))
    clock.run()
    assert len(rung) == 1


def test_processes_run_beside_alarms():
    clock, seen = Clock(), []

    def sleeper():
        yield clock.environment.timeout(1.5)
        seen.append(clock.now)

    clock.environment.process(sleeper())
    clock.call_at(1.0, lambda _: seen.append(clock.now))
    clock.run()
    assert seen == [1.0, 1.5]


def test_run_until_stops_before_later_alarms():
    clock, rung = Clock(), []
    for at in (1.0, 2.0, 3.0):
        clock.call_at(at, lambda alarm: rung.append(alarm.at))
    clock.run(until=2.5)
    assert rung == [1.0, 2.0]
    assert clock.now == 2.5


def test_an_error_in_a_process_is_not_swallowed():
    clock = Clock()

    def faulty():
        yield clock.environment.timeout(1.0)
        raise KeyError("lost")

    clock.environment.process(faulty())
    with pytest.raises(KeyError, match="lost"):
        clock.run()


def test_the_clock_advances_only_when_nothing_else_is_due_by_then():
    clock, moved = Clock(), []
    clock.call_at(1.0, lambda _: moved.extend((clock.advance(1.5), clock.now, clock.advance(2.0), clock.now)))
    clock.call_at(2.0, lambda _: None)
    clock.run()
    assert moved == [True, 1.5, False, 1.5]


def test_alarms_ring_in_an_environment_that_simpy_runs():
    clock, rung = Clock(), []
    clock.call_at(1.0, lambda _: rung.append(clock.now))
    clock.call_at(2.0, lambda _: rung.append(clock.now)).cancel()
    clock.environment.run()
    assert rung == [1.0]
