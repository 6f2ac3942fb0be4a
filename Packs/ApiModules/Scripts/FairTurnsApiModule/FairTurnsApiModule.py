"""Senders take turns on one worker thread, which runs what would block the event loop.

What it is for: slow functions run on a native thread, one after the other, while the greenlets
that called them wait. A sender with many functions waits behind the senders with few. It knows
nothing of requests, of what the functions do, or of Cortex XSOAR.
"""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
from gevent.threadpool import ThreadPool


class FairQueue:
    """Groups of items, each in one piece; senders take turns when not all groups fit at once.

    An item has a ``size`` in bytes.
    """

    def __init__(self) -> None:
        # each with its bytes, by sender, whose turn is next first
        self._groups: OrderedDict[str, deque[tuple[int, list[Any]]]] = OrderedDict()
        self._count = 0
        self._items = self._bytes = 0  # of all groups

    def __len__(self) -> int:
        return self._count

    def put(self, sender: str, group: list[Any]) -> None:
        """Add a group behind those that a sender has in the queue."""
        size = group[0].size if len(group) == 1 else sum([item.size for item in group])
        self._bytes += size
        self._items += len(group)
        self._count += 1
        waiting = self._groups.get(sender)
        if waiting is None:
            waiting = self._groups[sender] = deque()
        waiting.append((size, group))

    def take(self, max_items: int, max_bytes: int) -> list[Any]:
        """Return all groups if they fit, else one of each sender in turn: at least one."""
        if self._items <= max_items and self._bytes <= max_bytes:
            everything = [
                item for groups in self._groups.values() for _, group in groups for item in group
            ]
            self._groups.clear()
            self._count = self._items = self._bytes = 0
            return everything
        batch: list[Any] = []
        size = 0
        passed: dict[str, None] = {}  # whose next group does not fit: they are first the next time
        while self._groups and len(batch) < max_items:
            sender, groups = next(iter(self._groups.items()))
            group_size, group = groups[0]
            if batch and (len(batch) + len(group) > max_items or size + group_size > max_bytes):
                self._groups.move_to_end(sender)
                if sender in passed:
                    break
                passed[sender] = None
                continue
            groups.popleft()
            batch += group
            size += group_size
            self._forget(group_size, group)
            if groups:
                self._groups.move_to_end(sender)
            else:
                del self._groups[sender]
        for sender in reversed(passed):
            if sender in self._groups:
                self._groups.move_to_end(sender, last=False)
        return batch

    def _forget(self, size: int, group: list[Any]) -> None:
        self._count -= 1
        self._items -= len(group)
        self._bytes -= size

    def drop(self, is_done: Callable[[list[Any]], bool]) -> None:
        """Forget groups that are done with, as far as they are at their sender's front."""
        for sender, groups in list(self._groups.items()):
            while groups and is_done(groups[0][1]):
                self._forget(*groups.popleft())
            if not groups:
                del self._groups[sender]


class WorkerBusy(Exception):
    """The worker thread did not finish a function within the time allowed for it."""


class WorkerThread:
    """One native thread that runs functions one after the other, while their callers wait.

    Senders take turns, so that one with many functions does not hold up the others.
    """

    def __init__(self) -> None:
        self._pool = ThreadPool(1)
        # The waiting callers of each sender; the sender whose turn is next stands first.
        self._waiting: OrderedDict[str, deque[gevent.event.Event]] = OrderedDict()
        self._is_taken = False
        self._since = math.inf  # time.monotonic() when the function in progress began
        self._callers: set[gevent.Greenlet] = set()
        self._closed = False

    def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        seconds: float | None = None,
        sender: str = "",
    ) -> Any:
        """Return what the function returns, or raise what it raises.

        Raises WorkerBusy if that takes longer than ``seconds``, the wait for its turn included, and
        once the thread is closed.
        """
        if self._closed:
            raise WorkerBusy
        caller = gevent.getcurrent()
        self._callers.add(caller)
        # The class, not an error: its traceback refers to this frame. If the frame referred to an
        # error as well, a large argument would stay in memory until the garbage collector runs.
        try:
            with gevent.Timeout(seconds, WorkerBusy):
                self._take_turn(sender)
                attempt = self._begin(function, args)
                value, error = attempt.get()
        finally:
            self._callers.discard(caller)
        del attempt  # it refers to the error, too
        try:
            if error is not None:
                raise error
            return value
        finally:
            del error

    def close(self) -> None:
        """Raise WorkerBusy for all who wait, whatever the thread is doing, and for later ones."""
        self._closed = True
        for caller in list(self._callers):
            gevent.kill(caller, WorkerBusy)

    def busy_seconds(self, now: float) -> float:
        """Return how many seconds the function in progress has been running, below 0 if none is.

        ``now`` is a reading of time.monotonic().
        """
        return now - self._since

    def _take_turn(self, sender: str) -> None:
        if not self._is_taken:
            self._is_taken = True
            return
        turn = gevent.event.Event()
        self._waiting.setdefault(sender, deque()).append(turn)
        try:
            turn.wait()
        except BaseException:
            if turn.is_set():  # the turn was given just as the time to wait for it ran out
                self._end_turn()
            else:
                self._forget(sender, turn)
            raise

    def _forget(self, sender: str, turn: gevent.event.Event) -> None:
        turns = self._waiting[sender]
        turns.remove(turn)
        if not turns:
            del self._waiting[sender]

    def _end_turn(self, _: Any = None) -> None:
        """Give the turn to the next sender, which then goes to the end of the line."""
        if not self._waiting:
            self._is_taken = False
            return
        sender, turns = self._waiting.popitem(last=False)
        turns.popleft().set()
        if turns:
            self._waiting[sender] = turns

    def _begin(
        self, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> gevent.event.AsyncResult:
        try:
            attempt = self._pool.spawn(self._attempt, function, args)
        except BaseException:  # for instance, the system has no thread left
            self._end_turn()
            raise
        # The turn lasts as long as the function, even if its caller no longer waits.
        attempt.rawlink(self._end_turn)
        return attempt

    def _attempt(
        self, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> tuple[Any, Exception | None]:
        self._since = time.monotonic()
        try:
            return function(*args), None
        except Exception as error:  # the pool would print it to stderr
            return None, error
        finally:
            self._since = math.inf


TIMER_EVENT = 0x100  # libev's EV_TIMER


class PriorityWakeup:
    """Wakes the greenlet that waits for it before all that is ready in the event loop.

    A Signal's turn comes only after that: measured alone, it makes a request up to a fifth slower.
    """

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        # Never started: notify makes its event
        self._timer = self._hub.loop.timer(0, priority=self._hub.loop.MAXPRI)
        self._waiter: Any = None

    def wait(self, seconds: float) -> bool:
        """Return whether it is notified within that time."""
        self._waiter = waiter = gevent.hub.Waiter(self._hub)
        with gevent.Timeout(seconds, False):
            return bool(waiter.get())
        self._waiter = None
        return False

    def notify(self) -> None:
        """Wake the greenlet that waits, if one does."""
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        try:
            self._timer.feed(TIMER_EVENT, waiter.switch, True)
        # Gevent on libuv, which the image does not have, cannot: behind the others, then
        except Exception:
            self._hub.loop.run_callback(waiter.switch, True)
