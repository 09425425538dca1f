"""Files of a host by SFTP: as many requests under way as keep the line full, and no write whose answer is not read.

paramiko's own way to do that starts a thread for what is read, and does not look at the last answers to what is
written. The protocol is draft-ietf-secsh-filexfer-02, as OpenSSH has it.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llorch.remote.streams import Connection
from llorch.remote.transport import load_paramiko

if TYPE_CHECKING:
    from paramiko import SFTPClient

REQUEST = 1 << 15
"""Bytes of a request, which every server takes."""
UNDER_WAY = 64
"""Requests that are not answered yet."""


def open_sftp(connection: Connection, timeout: float, stall: float) -> "SFTPClient":
    """Return a session of SFTP.

    Args:
        timeout: seconds until the server has to have begun.
        stall: seconds after which, when nothing moves, what is done with it raises TimeoutError.

    Raises:
        ConnectionFailed: the server does not start it.
        SSHException, OSError: it does not begin as it should.
    """
    paramiko = load_paramiko()
    pipe = connection.open_subsystem("sftp")
    try:
        pipe.settimeout(timeout)
        client: SFTPClient = paramiko.SFTPClient(pipe)
        pipe.settimeout(stall)
    except BaseException:
        pipe.close()
        raise
    return client


def read(client: "SFTPClient", path: str) -> Iterator[bytes]:
    """Yield what is in a file, as long as it was when it was opened.

    Raises:
        OSError: it cannot be read.
    """
    from paramiko.sftp import CMD_READ, int64

    requests = _Requests(client)
    with client.open(path, "rb") as file:
        handle: Any = file.handle
        size = file.stat().st_size or 0
        asked = 0
        waiting: deque[tuple[int, int, int]] = deque()
        while waiting or asked < size:
            while asked < size and len(waiting) < UNDER_WAY:
                count = min(REQUEST, size - asked)
                waiting.append((requests.send(CMD_READ, handle, int64(asked), count), asked, count))
                asked += count
            number, start, count = waiting.popleft()
            while count:
                try:
                    data: bytes = requests.answer(number).get_string()
                except EOFError:
                    return  # it has become shorter
                yield data
                start, count = start + len(data), count - len(data)
                if count:  # a server may give less than it was asked for
                    number = requests.send(CMD_READ, handle, int64(start), count)


def write(client: "SFTPClient", path: str, pieces: Iterable[bytes]) -> None:
    """Make a file, which must not be there yet, and have it on the disk where the server can do that.

    Raises:
        OSError: it cannot be written.
    """
    from paramiko.sftp import CMD_EXTENDED, CMD_WRITE, int64

    requests = _Requests(client)
    with client.open(path, "wbx") as file:
        handle: Any = file.handle
        offset = 0
        waiting: deque[int] = deque()
        for piece in pieces:
            for start in range(0, len(piece), REQUEST):
                part = piece[start : start + REQUEST]
                waiting.append(requests.send(CMD_WRITE, handle, int64(offset), part))
                offset += len(part)
                if len(waiting) >= UNDER_WAY:
                    requests.answer(waiting.popleft())
        for number in waiting:
            requests.answer(number)
        try:
            requests.answer(requests.send(CMD_EXTENDED, "fsync@openssh.com", handle))
        except OSError as error:
            if "unsupported" not in str(error).lower():
                raise


class _Requests:
    """Requests whose answers may come in any order."""

    def __init__(self, client: "SFTPClient") -> None:
        self._client: Any = client
        self._came: dict[int, tuple[int, Any]] = {}

    def send(self, kind: int, *arguments: Any) -> int:
        """Send a request and return its number."""
        with self._stalling_once():
            number: int = self._client._async_request(self, kind, *arguments)
        return number

    def answer(self, number: int) -> Any:
        """Wait for the answer to a request and return it; raise the error that it is."""
        from paramiko.sftp import CMD_STATUS

        if number in self._came:
            kind, message = self._came.pop(number)
            if kind == CMD_STATUS:
                self._client._convert_status(message)
            return message
        with self._stalling_once():
            return self._client._read_response(number)[1]

    @contextmanager
    def _stalling_once(self) -> Iterator[None]:
        """Hang up where nothing moves any more: each request that follows, such as to close the file, would stall."""
        try:
            yield
        except TimeoutError:
            self._client.close()
            raise

    def _async_response(self, kind: int, message: Any, number: int) -> None:
        """Take an answer that came before the one that is waited for; paramiko calls this."""
        self._came[number] = (kind, message)
