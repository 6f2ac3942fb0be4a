"""Unit tests of FairTurnsApiModule.py."""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gevent
import gevent.socket
import pytest
from FairTurnsApiModule import FairQueue, PriorityWakeup, WorkerBusy, WorkerThread
from gevent.threadpool import ThreadPool

MANY_BYTES = 10**9
LONG = 20.0  # seconds; a test that waits for so long has failed


# ---- the queue


class Item(NamedTuple):
    name: str
    size: int = 100


def group_of(names: str, size: int = 100) -> list[Item]:
    """Return items whose names are separated by spaces."""
    return [Item(name, size) for name in names.split()]


def names_in(items: list[Item]) -> str:
    return " ".join(item.name for item in items)


def queue_of(*groups: tuple[str, str], size: int = 100) -> FairQueue:
    """Return a queue with groups, each a sender and its items' names separated by spaces."""
    queue = FairQueue()
    for sender, names in groups:
        queue.put(sender, group_of(names, size))
    return queue


class TestFairQueue:
    def test_what_fits_is_taken_at_once(self) -> None:
        queue = queue_of(("a", "a1 a2"), ("b", "b1"), ("a", "a3"))
        assert len(queue) == 3
        assert sorted(names_in(queue.take(1000, MANY_BYTES)).split()) == ["a1", "a2", "a3", "b1"]
        assert not queue
        assert queue.take(1000, MANY_BYTES) == []

    def test_senders_take_turns(self) -> None:
        """
        Given: a sender with many groups, and two that come after it with one or two
        When: three items are taken at a time
        Then: each sender's oldest group goes in turn, and each time begins where the last ended
        """
        many = [("a", f"a{number}") for number in range(6)]
        queue = queue_of(*many, ("b", "b0"), ("b", "b1"), ("c", "c0"))
        taken = []
        while queue:
            taken.append(names_in(queue.take(3, MANY_BYTES)))
        assert taken == ["a0 b0 c0", "a1 b1 a2", "a3 a4 a5"]

    def test_a_group_that_does_not_fit_is_first_the_next_time(self) -> None:
        """
        Given: groups of which several fit into four items together, and one of three between them
        When: items are taken
        Then: those that fit go first, and the large one is the first of the next, whole
        """
        queue = queue_of(("a", "a1 a2"), ("b", "b1 b2 b3"), ("c", "c1"), ("d", "d1 d2"))
        assert names_in(queue.take(4, MANY_BYTES)) == "a1 a2 c1"
        queue.put("e", group_of("e1"))
        assert names_in(queue.take(4, MANY_BYTES)) == "b1 b2 b3 e1"
        assert names_in(queue.take(4, MANY_BYTES)) == "d1 d2"

    def test_by_bytes_a_group_goes_whole_or_later(self) -> None:
        queue = queue_of(("a", "a1 a2 a3"), ("b", "b1 b2 b3"), ("c", "c1 c2"))
        assert names_in(queue.take(1000, 500)) == "a1 a2 a3 c1 c2"
        assert names_in(queue.take(1000, 500)) == "b1 b2 b3"
        queue = queue_of(("a", "a1"), ("a", "a2"), size=501)
        assert [names_in(queue.take(1000, 500)), names_in(queue.take(1000, 500))] == ["a1", "a2"]

    def test_the_groups_of_one_call_are_in_their_order_and_nobody_waits_for_all(self) -> None:
        """
        Given: seven items of a sender in groups of up to three, and a small group of another one
        When: three items are taken at a time
        Then: the groups go one by one, and the other sender does not wait for all of them
        """
        queue = FairQueue()
        for names in ("1 2 3", "4 5 6", "7"):
            queue.put("a", group_of(names))
        queue.put("b", group_of("b1"))
        assert len(queue) == 4
        taken = [names_in(queue.take(3, MANY_BYTES)) for _ in range(3)]
        assert taken == ["1 2 3", "b1", "4 5 6"]
        assert names_in(queue.take(3, MANY_BYTES)) == "7"

    def test_what_is_done_with_is_forgotten(self) -> None:
        """
        Given: groups of two senders, the oldest of which are done with, one of them in part
        When: what is done with is dropped
        Then: only whole groups are gone, and a sender without one, too
        """
        queue = queue_of(("a", "1 2"), ("a", "3"), ("b", "4"), ("b", "5 6"))
        done = {"1", "2", "3", "4", "5"}
        queue.drop(lambda group: all(item.name in done for item in group))
        assert len(queue) == 1
        assert names_in(queue.take(1000, MANY_BYTES)) == "5 6"

    @pytest.mark.parametrize("senders", [1, 300])
    def test_nothing_is_lost_or_taken_twice(self, senders: int) -> None:
        """
        Given: groups of one to seven items from one or many senders
        When: at most seven items are taken at a time
        Then: each item is taken once, in its sender's order
        """
        queue = FairQueue()
        wanted: dict[str, list[str]] = {}
        owner: dict[str, str] = {}
        for number in range(600):
            sender = str(number % senders)
            names = [f"{number}.{place}" for place in range(number % 7 + 1)]
            queue.put(sender, group_of(" ".join(names)))
            wanted.setdefault(sender, []).extend(names)
            owner.update(dict.fromkeys(names, sender))
        taken: dict[str, list[str]] = {}
        while queue:
            items = queue.take(7, MANY_BYTES)
            assert 1 <= len(items) <= 7
            for item in items:
                taken.setdefault(owner[item.name], []).append(item.name)
        assert taken == wanted

    def test_a_crowd_of_senders_costs_in_proportion(self) -> None:
        """
        Given: many senders with one item each, far more than are taken at a time
        When: items are taken
        Then: not all senders are looked at, let alone each again for each other one
        """

        class Counted(str):
            asked = 0

            def __eq__(self, other: object) -> bool:
                Counted.asked += 1
                return str.__eq__(self, other)

            __hash__ = str.__hash__

        queue = FairQueue()
        for number in range(5000):
            queue.put(Counted(number), group_of("n"))
        Counted.asked = 0
        assert len(queue.take(1000, MANY_BYTES)) == 1000
        assert Counted.asked < 10 * 5000


# ---- the wakeup


class TestPriorityWakeup:
    def test_a_priority_wakeup_comes_before_what_else_is_ready(self) -> None:
        """
        Given: a wakeup that is waited for, and sockets that can all be read
        When: the greenlet that reads the first of them notifies it
        Then: the waiting greenlet goes on before the second one is read
        """
        pairs = [gevent.socket.socketpair() for _ in range(5)]
        wakeup, order = PriorityWakeup(), []

        def read(number: int) -> None:
            pairs[number][0].recv(1)
            order.append(str(number))
            wakeup.notify()

        def wait() -> None:
            order.append("notified" if wakeup.wait(10) else "not notified")

        greenlets = [gevent.spawn(wait), *(gevent.spawn(read, number) for number in range(5))]
        gevent.sleep(0)
        for _, far in pairs:
            far._sock.send(b"x")  # without a turn for anybody else
        gevent.joinall(greenlets, timeout=10, raise_error=True)
        for near, far in pairs:
            near.close()
            far.close()
        assert order.index("notified") == 1
        assert not wakeup.wait(0.001)

    def test_a_priority_wakeup_works_on_an_event_loop_that_cannot_feed_a_timer(self) -> None:
        wakeup = PriorityWakeup()
        wakeup._timer = None  # what libuv's loop raises for a fed event, any error stands for
        waiting = gevent.spawn(wakeup.wait, 10)
        gevent.sleep(0)
        wakeup.notify()
        assert waiting.get(timeout=10) is True
        wakeup.notify()  # nobody waits


# ---- the worker thread


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

    def test_a_closed_one_refuses_those_who_wait_and_those_who_come(self) -> None:
        worker, gate = WorkerThread(), threading.Event()
        order: list[str] = []
        held = gevent.spawn(worker.run, gate.wait, LONG)
        waiting = gevent.spawn(worker.run, order.append, "waiting")
        gevent.sleep(0)
        worker.close()
        gevent.joinall([held, waiting], timeout=LONG)
        assert [type(caller.exception) for caller in (held, waiting)] == [WorkerBusy] * 2
        with pytest.raises(WorkerBusy):
            worker.run(order.append, "late")
        gate.set()
        assert order == []


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
