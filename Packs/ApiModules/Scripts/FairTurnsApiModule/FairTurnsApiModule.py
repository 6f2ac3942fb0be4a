"""Senders take turns: one worker thread for what would block the event loop.

What it is for: functions that take long run on a native thread, one after the other, while the greenlets
that asked wait; whoever has much to do waits behind everybody who has little. It knows nothing of requests,
of what the functions do, or of Cortex XSOAR.
"""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
from gevent.threadpool import ThreadPool


class WorkerBusy(Exception):
    """The worker thread did not get to a function, or not to its end, within the time for it."""


class WorkerThread:
    """One native thread that runs functions one after the other, while the greenlets that asked wait.

    Senders take turns: whoever has much to parse waits behind everybody who has little.
    """

    def __init__(self) -> None:
        self._pool = ThreadPool(1)
        # By sender, whose turn is next first.
        self._waiting: OrderedDict[str, deque[gevent.event.Event]] = OrderedDict()
        self._is_taken = False
        self._since = math.inf  # when the function in progress began, in time.monotonic() seconds

    def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        seconds: float | None = None,
        sender: str = "",
    ) -> Any:
        """Return what the function returns, or raise what it raises.

        Raises WorkerBusy where it takes longer than ``seconds``, the wait for its turn included.
        """
        busy = WorkerBusy()
        with gevent.Timeout(seconds, busy):
            self._take_turn(sender)
            attempt = self._pool.spawn(self._attempt, function, args)
            attempt.rawlink(self._end_turn)  # also where nobody waits for the function any more
            value, error = attempt.get()
        # An error's traceback keeps this frame: a large body would stay until Python's collector runs.
        del attempt, busy
        try:
            if error is not None:
                raise error
            return value
        finally:
            # Else its traceback keeps this frame, and a large body stays until it is collected.
            del error

    def busy_seconds(self, now: float) -> float:
        """Return how long the function in progress has been running, at most 0 without one; ``now`` is monotonic."""
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
            if turn.is_set():  # the turn came with the end of the time to wait for it
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
        """Give the turn to the next sender, who then waits behind all others."""
        if not self._waiting:
            self._is_taken = False
            return
        sender, turns = self._waiting.popitem(last=False)
        turns.popleft().set()
        if turns:
            self._waiting[sender] = turns

    def _attempt(
        self, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> tuple[Any, Exception | None]:
        self._since = time.monotonic()
        try:
            return function(*args), None
        except Exception as error:  # left to the pool, gevent would print it to stderr
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
        self._timer = self._hub.loop.timer(
            0, priority=self._hub.loop.MAXPRI
        )  # never started: notify makes its event
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
        except (
            Exception
        ):  # gevent on libuv, which the image does not have, cannot: behind the others, then
            self._hub.loop.run_callback(waiter.switch, True)
