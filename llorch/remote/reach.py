"""Get to a host, in the way that its entry asks for, and run a script on it to its end."""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from llorch.errors import ConnectionFailed, HostKeyRefused
from llorch.remote.command import RUN
from llorch.remote.hosts import Host
from llorch.remote.login import Ask
from llorch.remote.streams import Connection, Process, Request, Sink
from llorch.signals import uninterrupted

Hold = Callable[[Process], AbstractContextManager[None]]
"""What surrounds the time in which a script runs."""


class Reach(NamedTuple):
    """What is needed to get to hosts.

    Attributes:
        hosts: all that are declared, since one may be another's hop.
        timeout: seconds for a connection to stand.
        ask: gets a key's passphrase from a person.
        is_asked: a person may also answer what the system's ssh asks.
    """

    hosts: Mapping[str, Host]
    timeout: float
    ask: Ask
    is_asked: bool = False

    def connect(self, host: Host) -> Connection:
        """Return a connection.

        Raises:
            ConnectionFailed: there is none, or no trust.
        """
        if host.transport == "openssh":
            return self._by_ssh(host, is_asked=self.is_asked)
        from llorch.remote.connection import connect
        from llorch.remote.route import resolve
        from llorch.remote.transport import Deadline, load_paramiko

        deadline = Deadline(host.name, self.timeout)
        threading.Thread(target=load_paramiko, daemon=True).start()  # while `ssh -G` is waited for
        return connect(resolve(host, self.hosts, deadline), deadline, self.ask)

    def connect_for_bulk(self, host: Host) -> Connection | None:
        """Return a connection by the ssh program, which needs half of paramiko's time for many bytes.

        None where there is no such program, or it would have to ask somebody something.
        """
        from shutil import which

        from llorch.remote.openssh import BULK

        if which("ssh") is None:
            return None
        connection = self._by_ssh(host, *BULK, is_asked=False)
        try:
            ended = run_on(connection, Request(RUN, ("", "true")), lambda _: None, lambda _: None)
        except ConnectionFailed:
            return None
        return connection if ended.code == 0 else None

    def _by_ssh(self, host: Host, *more: str, is_asked: bool) -> Connection:
        from llorch.remote.openssh import OpenSshConnection, refused_key
        from llorch.remote.route import options_for, settings_of
        from llorch.remote.transport import Deadline

        options = (*options_for(host, self.hosts), *more)
        settings = settings_of(host, Deadline(host.name, self.timeout))

        def refused() -> HostKeyRefused | None:
            return refused_key(host, self.hosts, Deadline(host.name, self.timeout))

        return OpenSshConnection(
            host.name, host.host, options, self.timeout, settings=settings, is_asked=is_asked, refused=refused
        )

    def run(self, host: Host, request: Request, out: Sink, err: Sink, hold: Hold = lambda _: nullcontext()) -> "Ended":
        """Connect, run a script to its end, and hang up. An interrupt of this thread ends the script.

        Raises:
            ConnectionFailed: there is no connection, or it broke.
        """
        connection = self.connect(host)
        try:
            return run_on(connection, request, out, err, hold)
        finally:
            connection.close()


def run_on(
    connection: Connection, request: Request, out: Sink, err: Sink, hold: Hold = lambda _: nullcontext()
) -> "Ended":
    """Run a script to its end over a connection that stands. An interrupt of this thread ends the script.

    Raises:
        ConnectionFailed: it broke.
    """
    process: Process | None = None
    try:
        with uninterrupted():
            process = connection.start(request, out, err)
        with hold(process):
            code = process.wait()
    except BaseException:
        if process is not None:
            with uninterrupted():  # or a second Ctrl-C would leave half of it running
                process.interrupt()
        raise
    return Ended(code, process.beginning.state, process.beginning.more)


class Ended(NamedTuple):
    """How a script ended: its exit code, and what its first line said (`command`)."""

    code: int
    state: str | None
    more: tuple[str, ...]
