import math
from random import Random

import pytest
import trio
import trio.testing

from ctcore.errors import ConfigError, PluginError, ServiceFailed, TransportError
from ctcore.runtime import (
    Failure,
    Fatal,
    FunctionService,
    RestartForever,
    RestartUpTo,
    ServiceState,
    TrioClock,
    contain,
    open_supervisor,
    register_secret,
    supervise,
)
from ctcore.wire.backoff import BackoffPolicy

STEADY = BackoffPolicy(first_sec=1, factor=2, max_sec=8, jitter=0, healthy_sec=30)


class Flaky:
    """A service whose runs follow a script: seconds to live before the error, None = for ever."""

    def __init__(self, *script, name="flaky", error=TransportError, ready=True):
        self.name = name
        self.script = list(script)
        self.error = error
        self.ready = ready
        self.began = []

    async def run(self, *, task_status=trio.TASK_STATUS_IGNORED):
        self.began.append(trio.current_time())
        if self.ready:
            task_status.started()
        life = self.script.pop(0) if self.script else None
        await trio.sleep(math.inf if life is None else life)
        raise self.error(f"run {len(self.began)}")

    def request_stop(self):
        return False


def supervisor(**kwargs):
    return open_supervisor(clock=TrioClock(), rng=Random(1), **kwargs)


def status(sup, name="flaky"):
    return next(row for row in sup.statistics() if row.name == name)


async def test_restarts_with_growing_pauses_until_it_was_healthy_for_long_enough(autojump_clock):
    service = Flaky(0, 0, 0, 40, 0)
    async with supervisor() as sup:
        sup.add(service, RestartForever(STEADY))
        await trio.sleep(100)
        assert service.began == [0, 1, 3, 7, 48, 50]
        row = status(sup)
        assert (row.state, row.restarts) == (ServiceState.RUNNING, 5)
        assert row.last_error == "TransportError: run 5"
        assert row.error_us == 48_000_000
        assert row.since_us == 50_000_000


async def test_a_long_life_without_readiness_is_not_health(autojump_clock):
    service = Flaky(40, 40, 40, ready=False)
    async with supervisor() as sup:
        sup.add(service, RestartForever(STEADY))
        await trio.sleep(140)
        assert service.began == [0, 41, 83, 127]


async def test_backing_off_says_until_when(autojump_clock):
    async with supervisor() as sup:
        sup.add(Flaky(5), RestartForever(STEADY))
        await trio.sleep(5.5)
        row = status(sup)
        assert (row.state, row.next_start_us) == (ServiceState.BACKING_OFF, 6_000_000)


async def test_too_many_restarts_in_the_window_park_it(autojump_clock):
    service = Flaky(*[0] * 10)
    changes = []
    async with supervisor(on_change=lambda row: changes.append(row.state)) as sup:
        sup.add(service, RestartUpTo(3, 600, STEADY))
        await trio.sleep(100)
        assert len(service.began) == 4
        assert status(sup).state is ServiceState.PARKED
        assert changes[-2:] == [ServiceState.RUNNING, ServiceState.PARKED]
        sup.start("flaky")
        await trio.sleep(100)
        assert len(service.began) == 8


async def test_restarts_outside_the_window_are_forgiven(autojump_clock):
    service = Flaky(*[300] * 10)
    async with supervisor() as sup:
        sup.add(service, RestartUpTo(2, 400, STEADY))
        await trio.sleep(2_000)
        assert len(service.began) > 4
        assert status(sup).state is ServiceState.RUNNING


async def test_what_no_restart_can_mend_parks_at_once(autojump_clock):
    service = Flaky(0, error=ConfigError)
    async with supervisor() as sup:
        sup.add(service, RestartForever(STEADY))
        await trio.sleep(100)
        assert service.began == [0]
        assert status(sup).state is ServiceState.PARKED


async def test_a_fatal_failure_takes_the_rung_down(autojump_clock):
    bystander = Flaky(name="bystander")
    with pytest.RaisesGroup(pytest.RaisesExc(ServiceFailed, match="flaky: TransportError: run 1")):
        async with supervisor() as sup:
            sup.add(bystander, RestartForever())
            sup.add(Flaky(3), Fatal())
            await trio.sleep_forever()
    assert trio.current_time() == 3
    assert status(sup).state is ServiceState.FAILED
    assert status(sup, "bystander").state is ServiceState.STOPPED


async def test_one_failure_does_not_touch_the_others(autojump_clock):
    steady = Flaky(name="steady")
    async with supervisor() as sup:
        sup.add(steady, RestartForever())
        sup.add(Flaky(*[0] * 50), RestartForever(STEADY))
        await trio.sleep(100)
        assert steady.began == [0]


async def test_returning_is_the_end_and_no_failure(autojump_clock):
    async def main(*, task_status):
        task_status.started()
        await trio.sleep(1)

    assert (await supervise(FunctionService("job", main), RestartForever())).state is ServiceState.STOPPED
    assert trio.current_time() == 1


async def test_a_group_of_errors_is_told_as_its_errors(autojump_clock):
    async def main(*, task_status):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, TransportError("first"))
            nursery.start_soon(fail, TransportError("second"))

    async def fail(error):
        raise error

    row = await supervise(FunctionService("job", main), RestartUpTo(0, 1))
    assert row.state is ServiceState.PARKED
    assert sorted(row.last_error.split("; ")) == ["TransportError: first", "TransportError: second"]


async def test_an_interrupt_inside_a_group_goes_on():
    async def main(*, task_status):
        raise BaseExceptionGroup("both", [ValueError("told"), KeyboardInterrupt()])

    with pytest.RaisesGroup(KeyboardInterrupt, flatten_subgroups=True):
        await supervise(FunctionService("job", main), RestartForever())


async def test_cancellation_goes_on_although_the_service_raises_meanwhile(autojump_clock):
    async def main(*, task_status):
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in the clean-up")

    with trio.move_on_after(1) as scope:
        await supervise(FunctionService("job", main), RestartForever(STEADY))
    assert scope.cancelled_caught
    assert trio.current_time() == 1


async def test_cancellation_and_errors_together_end_the_rung(autojump_clock):
    async def main(*, task_status):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep(2)
            raise ValueError

    with trio.move_on_after(10) as scope:
        async with supervisor() as sup:
            sup.add(FunctionService("job", main), RestartForever(STEADY))
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert status(sup, "job").state is ServiceState.STOPPED


async def test_contain_tells_of_the_part_it_contains():
    failures = []

    async def run():
        raise BaseExceptionGroup("both", [ValueError("told"), SystemExit(3)])

    with pytest.RaisesGroup(SystemExit):
        await contain(run, failures.append)
    assert [failure.text for failure in failures] == ["ValueError: told"]


async def test_secrets_do_not_reach_the_error_text(autojump_clock):
    register_secret("hunter2hunter2")

    async def main(*, task_status):
        raise TransportError("GET https://x/?sig=hunter2hunter2&signature=deadbeef failed")

    row = await supervise(FunctionService("job", main), RestartUpTo(0, 1))
    assert row.last_error == "TransportError: GET https://x/?sig=***&signature=*** failed"


def test_error_texts_are_one_line_bounded_and_survive_hostile_errors():
    class HostileError(Exception):
        def __str__(self):
            raise ZeroDivisionError

    errors = [HostileError(), ValueError("a\nb"), ValueError("x" * 5_000), KeyError(1), OSError()]
    failure = Failure(ExceptionGroup("", errors))
    assert failure.text.startswith("HostileError: <exception str() failed>; ValueError: a b; ValueError: xxx")
    assert failure.text.endswith("… (and 2 more)")
    assert len(failure.text) < 600


class Finishing:
    """A service that, asked to stop, needs a while to finish."""

    name = "finishing"

    def __init__(self, seconds):
        self.seconds = seconds
        self.finished = False
        self.asked = trio.Event()

    async def run(self, *, task_status):
        task_status.started()
        await self.asked.wait()
        await trio.sleep(self.seconds)
        self.finished = True

    def request_stop(self):
        self.asked.set()
        return True


@pytest.mark.parametrize(("seconds", "graceful", "after"), [(3, True, 3), (60, False, 5)])
async def test_stopping_gracefully_and_by_force(autojump_clock, seconds, graceful, after):
    service = Finishing(seconds)
    async with supervisor() as sup:
        sup.add(service, RestartForever())
        await sup.wait_ready()
        assert await sup.stop("finishing", deadline_sec=5) is graceful
        assert trio.current_time() == after
        assert status(sup, "finishing").state is ServiceState.STOPPED
        assert service.finished is graceful


async def test_while_it_finishes_it_is_stopping_and_cannot_be_started(autojump_clock):
    async with supervisor() as sup:
        sup.add(Finishing(3), RestartForever())
        await sup.wait_ready()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sup.stop, "finishing")
            await trio.sleep(1)
            assert status(sup, "finishing").state is ServiceState.STOPPING
            with pytest.raises(ValueError, match="still stopping"):
                sup.start("finishing")


@pytest.mark.parametrize("policy", [RestartForever(STEADY), RestartUpTo(0, 1), Fatal()])
async def test_a_failure_while_stopping_is_just_the_end(autojump_clock, policy):
    class Breaking(Finishing):
        async def run(self, *, task_status):
            await super().run(task_status=task_status)
            raise TransportError("at the end")

    async with supervisor() as sup:
        sup.add(Breaking(1), policy)
        await sup.wait_ready()
        assert await sup.stop("finishing")
        row = status(sup, "finishing")
        assert (row.state, row.restarts) == (ServiceState.STOPPED, 0)
        assert row.last_error == "TransportError: at the end"


async def test_a_broken_request_stop_is_contained(autojump_clock):
    def stop():
        raise ZeroDivisionError

    async def main(*, task_status):
        task_status.started()
        await trio.sleep_forever()

    async with supervisor() as sup:
        sup.add(FunctionService("job", main, stop), RestartForever())
        await sup.wait_ready()
        assert await sup.stop("job")
        assert status(sup, "job").last_error == "ZeroDivisionError"


async def test_stopping_ends_a_pause_at_once(autojump_clock):
    async with supervisor() as sup:
        sup.add(Flaky(0), RestartForever(BackoffPolicy(first_sec=1_000, max_sec=1_000)))
        await trio.sleep(1)
        assert await sup.stop("flaky")
        assert trio.current_time() == 1


async def test_stopped_then_started_again(autojump_clock):
    service = Flaky()
    async with supervisor() as sup:
        sup.add(service, RestartForever())
        await trio.sleep(5)
        await sup.stop("flaky")
        await trio.sleep(5)
        sup.start("flaky")
        sup.start("flaky")
        await sup.wait_ready(["flaky"])
        assert service.began == [0, 10]


async def test_services_come_and_go(autojump_clock):
    service = Flaky()
    async with supervisor(limit=2) as sup:
        sup.add(service, RestartForever())
        with pytest.raises(ValueError, match="already"):
            sup.add(Flaky(), RestartForever())
        sup.add(Flaky(name="second"), RestartForever())
        with pytest.raises(ValueError, match="limit is 2"):
            sup.add(Flaky(name="third"), RestartForever())
        await sup.remove("flaky")
        assert [row.name for row in sup.statistics()] == ["second"]
        assert "flaky" not in sup
        sup.add(service, RestartForever())
        await sup.wait_ready()
        with pytest.raises(KeyError):
            sup.start("unknown")


async def test_leaving_the_block_stops_all_at_once_within_the_deadline(autojump_clock):
    services = [Finishing(4) for _ in range(3)]
    async with supervisor(stop_sec=5) as sup:
        for number, service in enumerate(services):
            service.name = f"service {number}"
            sup.add(service, RestartForever())
        await sup.wait_ready()
    assert trio.current_time() == 4
    assert all(service.finished for service in services)
    with pytest.raises(ValueError, match="stopping"):
        sup.add(Flaky(), RestartForever())


async def test_waiting_for_readiness_waits_through_restarts(autojump_clock):
    class Late(Flaky):
        async def run(self, *, task_status):
            self.ready = len(self.began) >= 2
            await super().run(task_status=task_status)

    async with supervisor() as sup:
        sup.add(Late(0, 0), RestartForever(STEADY))
        await sup.wait_ready()
        assert trio.current_time() == 3


async def test_waiting_for_the_readiness_of_what_is_parked_fails_with_its_error(autojump_clock):
    async with supervisor() as sup:
        sup.add(Flaky(0, ready=False, error=ConfigError), RestartForever())
        with pytest.raises(ConfigError, match="flaky: run 1"):
            await sup.wait_ready()


async def test_waiting_for_what_is_parked_for_another_reason_is_a_failed_service(autojump_clock):
    async with supervisor() as sup:
        sup.add(Flaky(0, ready=False, error=PluginError), RestartForever())
        with pytest.raises(ServiceFailed, match="flaky is parked: PluginError: run 1"):
            await sup.wait_ready()


async def test_jitter_comes_from_the_given_source(autojump_clock):
    began = []
    for seed in (1, 1, 2):
        service = Flaky(0, 0, 0)
        start = trio.current_time()
        async with open_supervisor(rng=Random(seed)) as sup:
            sup.add(service, RestartForever(BackoffPolicy(jitter=0.5)))
            await trio.sleep(100)
        began.append([round(when - start, 6) for when in service.began])
    assert began[0] == began[1] != began[2]
