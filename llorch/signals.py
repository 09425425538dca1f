"""What signals mean here: a request to end that comes when what was begun can be ended, and once.

`signal` itself makes enums of its numbers, which takes 2 ms; `_signal`, which it is made of, has the same functions.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # it has no types
import _thread
import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType
    from typing import Any

SAME = 0.2
"""Seconds in which several signals ask for one end."""
HEED = 0.1
"""Seconds after which a signal that no handler has seen is sent again: the same request, should one have seen it."""
_until = 0.0
"""When those of the last request are over, by the monotonic clock."""
_unseen = -1
"""A pipe that each signal puts its number into, and a handler takes all from; negative before there is one."""


class Ended(SystemExit):
    """A signal asks for the end; the code is what shells tell of that."""


class Handlers:
    """Handlers of signals while a `with` goes on; `contextlib` would be shorter, and costs 0.5 ms of import."""

    def __init__(self, handlers: Mapping[int, Any]) -> None:
        self._handlers = handlers

    def __enter__(self) -> None:
        """Set them."""
        if self._handlers:
            self._handlers = {number: _signal.signal(number, each) for number, each in self._handlers.items()}

    def __exit__(self, *_: object) -> None:
        """Set those from before."""
        self.__enter__()


class _Held(Handlers):
    """Signals that come only when the `with` has ended, unless they were part of a request that came before it."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._came: list[int] = []
        super().__init__(dict.fromkeys(numbers, self._note))

    def _note(self, number: int, frame: FrameType | None) -> None:
        _take_unseen()
        if time.monotonic() >= _until:
            self._came.append(number)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        for number in self._came:
            _signal.raise_signal(number)


def uninterrupted() -> Handlers:
    """Hold back what ends this process until a program that is being started is known, or nobody would end that."""
    threading = sys.modules.get("threading")
    if threading is not None and threading.current_thread() is not threading.main_thread():
        return Handlers({})  # handlers run in the main thread alone

    ours = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)
    return _Held([number for number in ours if callable(_signal.getsignal(number))])


def terminated() -> Handlers:
    """Leave on SIGTERM and SIGHUP as on Ctrl-C, so that what was begun is ended on the way out.

    What comes within `SAME` seconds is the same request: a terminal and a parent may both make it, and each would cut
    short what the one before has end. What is ignored stays so, as SIGHUP after `nohup`.
    """
    _watch()
    ours = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)
    return Handlers({number: _leave for number in ours if _signal.getsignal(number) != _signal.SIG_IGN})


def _leave(number: int, frame: FrameType | None) -> None:
    global _until
    _take_unseen()
    if time.monotonic() < _until:
        return
    _until = time.monotonic() + SAME
    if number == _signal.SIGINT:
        raise KeyboardInterrupt
    raise Ended(128 + number)


def _watch() -> None:
    """Have a thread look after the signals of this process, from now on.

    Python runs handlers between two steps of the main thread. A signal that comes after the last of them and before the
    system call that waits, or to another thread, ends no wait; on a busy machine that is no rare thing.
    """
    global _unseen
    if _unseen >= 0:
        return
    _unseen, into = os.pipe()
    os.set_blocking(_unseen, False)
    os.set_blocking(into, False)
    _signal.set_wakeup_fd(into, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: _signal.set_wakeup_fd(-1))  # its signals are not ours
    _thread.start_new_thread(_send_again, (_thread.get_ident(),))


def _send_again(main: int) -> None:
    """Send the main thread each signal that comes, until a handler of ours has seen it."""
    comes = select.poll()
    comes.register(_unseen, select.POLLIN)
    while True:
        comes.poll()
        time.sleep(HEED)
        for number in _take_unseen():
            if _is_ours(_signal.getsignal(number)):
                _signal.pthread_kill(main, number)


def _take_unseen() -> bytes:
    try:
        return os.read(_unseen, 1 << 12) if _unseen >= 0 else b""
    except BlockingIOError:
        return b""


def _is_ours(handler: object) -> bool:
    return handler is _leave or isinstance(getattr(handler, "__self__", None), _Held)
