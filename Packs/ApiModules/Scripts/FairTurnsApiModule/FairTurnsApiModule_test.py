"""Unit tests of FairTurnsApiModule.py."""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from FairTurnsApiModule import WorkerBusy, WorkerThread
from gevent.threadpool import ThreadPool

LONG = 20.0  # seconds; a test that waits for so long has failed


class Held:
    """A worker thread that is busy until it is released."""

    def __init__(self) -> None:
        self.worker = WorkerThread()
        self.gate = threading.Event()
        self.first = self.spawn("first", self.gate.wait, LONG)

    def spawn(self, sender: str, function: Callable[..., Any], *args: Any) -> gevent.Greenlet:
        """Return a greenlet that has called the worker thread already."""
        greenlet = gevent.spawn(self.worker.run, function, *args, sender=sender)
        gevent.sleep(0)
        return greenlet

    def release(self) -> None:
        """Let the function in progress end, and wait for that."""
        self.gate.set()
        assert self.first.get(timeout=LONG) is True


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.release()


def await_that(is_so: Callable[[], bool]) -> bool:
    """Wait for a condition that becomes true soon."""
    end = time.monotonic() + LONG
    while not is_so() and time.monotonic() < end:
        gevent.sleep(0.001)
    return is_so()


class TestCalls:
    def test_a_function_runs_on_another_thread_always_the_same(self) -> None:
        worker = WorkerThread()
        threads = {worker.run(threading.get_ident) for _ in range(3)}
        assert len(threads) == 1
        assert threads != {threading.get_ident()}

    def test_arguments_and_the_result_are_passed_on(self) -> None:
        assert WorkerThread().run(divmod, 17, 5, seconds=LONG, sender="192.0.2.1") == (3, 2)

    def test_an_error_reaches_its_caller_and_the_next_call_works(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """
        Given: a function that raises
        When: the worker thread runs it
        Then: its caller gets that very error, nothing is printed, and the thread goes on
        """
        worker, error = WorkerThread(), ValueError("no")

        def fail() -> None:
            raise error

        with pytest.raises(ValueError) as raised:
            worker.run(fail)
        assert raised.value is error
        assert worker.run(int, "7") == 7
        assert capfd.readouterr().err == ""

    def test_the_event_loop_serves_others_in_the_meantime(self, held: Held) -> None:
        seen: list[int] = []
        gevent.spawn(seen.append, 1).join()
        assert seen == [1]
        assert not held.first.dead

    def test_how_long_the_function_in_progress_has_been_running(self) -> None:
        worker = WorkerThread()
        assert worker.busy_seconds(time.monotonic()) < 0
        before = time.monotonic()
        assert 90 < worker.run(worker.busy_seconds, before + 100) <= 100
        assert worker.busy_seconds(time.monotonic() + 100) < 0


class TestTurns:
    def test_a_sender_with_ten_functions_waits_behind_one_with_one(self, held: Held) -> None:
        """
        Given: one sender whose ten functions wait, and another that calls after it
        When: the worker thread is free
        Then: the other one's function runs after the first of the ten, whose order stays
        """
        order: list[str] = []
        waiting = [held.spawn("many", order.append, f"many {number}") for number in range(10)]
        waiting.append(held.spawn("one", order.append, "one"))
        held.release()
        gevent.joinall(waiting, timeout=LONG, raise_error=True)
        assert order == ["many 0", "one", *(f"many {number}" for number in range(1, 10))]

    def test_senders_with_many_functions_alternate(self, held: Held) -> None:
        order: list[str] = []
        waiting = [
            held.spawn(sender, order.append, f"{sender}{number}")
            for sender in "abc"
            for number in range(3)
        ]
        held.release()
        gevent.joinall(waiting, timeout=LONG, raise_error=True)
        assert order == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]

    def test_no_two_functions_run_at_once(self) -> None:
        worker, inside, most = WorkerThread(), [0], [0]

        def work() -> None:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.001)
            inside[0] -= 1

        waiting = [gevent.spawn(worker.run, work, sender=str(number % 3)) for number in range(9)]
        gevent.joinall(waiting, timeout=LONG, raise_error=True)
        assert most == [1]


class TestBusy:
    def test_a_wait_that_ends_in_time_gives_its_turn_back(self, held: Held) -> None:
        """
        Given: two functions of a sender that wait, of which one only waits for a moment
        When: its time is over before the worker thread is free
        Then: its caller gets WorkerBusy, it never runs, and the other one does
        """
        order: list[str] = []
        other = held.spawn("a", order.append, "kept")
        with pytest.raises(WorkerBusy):
            held.worker.run(order.append, "given up", seconds=0.001, sender="a")
        with pytest.raises(WorkerBusy):
            held.worker.run(order.append, "given up", seconds=0.001, sender="b")
        held.release()
        other.get(timeout=LONG)
        held.worker.run(order.append, "last", sender="b")
        assert order == ["kept", "last"]

    def test_a_turn_that_is_given_as_the_time_ends_goes_to_the_next_one(self) -> None:
        """
        Given: a caller that has just been given its turn and has not resumed yet
        When: its time is over
        Then: the turn goes to the next caller
        """
        worker, gate = WorkerThread(), threading.Event()
        order: list[str] = []

        def end_the_next() -> None:
            worker.run(gate.wait, LONG)
            # The turn has been given, and the event loop has not yet resumed the next caller.
            ended.throw(WorkerBusy())

        first = gevent.spawn(end_the_next)
        gevent.sleep(0)
        ended = gevent.spawn(worker.run, order.append, "ended", sender="a")
        after = gevent.spawn(worker.run, order.append, "after", sender="b")
        gevent.sleep(0)
        gate.set()
        after.get(timeout=LONG)
        assert isinstance(ended.exception, WorkerBusy)
        assert order == ["after"]
        first.kill()  # throw() has left it where it was

    def test_a_function_that_takes_too_long_keeps_its_turn_until_it_ends(self) -> None:
        worker, gate = WorkerThread(), threading.Event()
        order: list[str] = []

        def hold() -> None:
            gate.wait(LONG)
            order.append("held")

        with pytest.raises(WorkerBusy):
            worker.run(hold, seconds=0.001)
        with pytest.raises(WorkerBusy):
            worker.run(order.append, "too early", seconds=0.001)
        assert order == []
        gate.set()
        worker.run(order.append, "next", seconds=LONG)
        assert order == ["held", "next"]


class TestNoThread:
    def test_a_thread_that_cannot_start_takes_no_turn(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Given: a system that has no thread left for a moment
        When: a function is to run, and another one after it
        Then: the first caller gets the error, and the second one its result
        """
        worker = WorkerThread()

        def fail(*_: object) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(ThreadPool, "spawn", fail)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                worker.run(int, "1")
        assert worker.run(int, "2", seconds=LONG) == 2


class Large(bytearray):
    """A large argument that a weak reference can refer to."""


class Failure(Exception):
    pass


def fail(_: Large) -> None:
    raise Failure


class TestMemory:
    @pytest.fixture(autouse=True)
    def without_collector(self) -> Iterator[None]:
        """Leave each object to its reference count, as if the garbage collector came late."""
        gc.collect()
        gc.disable()
        yield
        gc.enable()

    def test_no_argument_outlives_its_call(self) -> None:
        worker, body = WorkerThread(), Large(b"x" * 1000)
        gone = weakref.ref(body)
        assert worker.run(len, body) == 1000
        del body
        assert await_that(lambda: gone() is None)

    def test_neither_an_argument_nor_the_error_outlives_a_call_that_fails(self) -> None:
        worker = WorkerThread()
        gone: list[weakref.ref[Any]] = []

        def call() -> None:
            body = Large(b"x" * 1000)
            gone.append(weakref.ref(body))
            try:
                worker.run(fail, body)
            except Failure as error:
                gone.append(weakref.ref(error))

        call()
        assert await_that(lambda: [found() for found in gone] == [None, None])

    @pytest.mark.parametrize("is_running", [True, False], ids=["running", "waiting"])
    def test_neither_outlives_a_call_that_took_too_long(self, is_running: bool) -> None:
        worker, gate = WorkerThread(), threading.Event()
        gone: list[weakref.ref[Any]] = []

        def hold(_: object) -> None:
            gate.wait(LONG)

        def call() -> None:
            body = Large(b"x" * 1000)
            gone.append(weakref.ref(body))
            try:
                worker.run(hold, body, seconds=0.001)
            except WorkerBusy as error:
                gone.append(weakref.ref(error))

        first = None if is_running else gevent.spawn(worker.run, hold, None)
        gevent.sleep(0)
        call()
        gate.set()
        assert await_that(lambda: [found() for found in gone] == [None, None])
        assert first is None or first.get(timeout=LONG) is None
