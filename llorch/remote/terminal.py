"""The terminal at this end, while a program on a host has it: each key goes there at once, and its size is told."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llorch.remote.streams import Terminal


def this_terminal() -> Terminal:
    """Return the kind and size of the terminal at this end, or a plain one where there is none."""
    size = os.get_terminal_size(sys.stdin.fileno()) if sys.stdin.isatty() else os.terminal_size((80, 24))
    return Terminal(os.environ.get("TERM") or "dumb", size.columns, size.lines)


@contextmanager
def raw(resize: Callable[[Terminal], None]) -> Iterator[None]:
    """Hand every key through, Ctrl-C too, and call `resize` when the window changes; at the end all is as before.

    Without a terminal at stdin nothing changes. Only the main thread may use it.
    """
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    handler = signal.signal(signal.SIGWINCH, lambda number, frame: resize(this_terminal()))
    try:
        tty.setraw(sys.stdin, termios.TCSADRAIN)  # what was typed early is kept
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)
