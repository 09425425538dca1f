r"""Files moved between here and a host over its connection: on from the byte where they stopped, and verified.

On the host a file grows as `<name>.part` under the kernel's lock, the same that a llorch there takes, and gets its name
when it has the promised sha256. All that is needed there is sh, and for the lock `flock`, perl or python3. What the
files are is not known here; what the host says of them is checked before it is used.
"""

import fcntl
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

from llorch.errors import Busy, ConnectionFailed, DiskFull, IntegrityError, LlorchError, Refused, ToolMissing
from llorch.progress import Progress
from llorch.remote import forward
from llorch.remote.command import FOLDER, LOCK
from llorch.remote.hosts import Host
from llorch.remote.openssh import FAILED
from llorch.remote.reach import Ended, run_on
from llorch.remote.streams import Connection, Process, Request, Sink

CHUNK = 1 << 18
BULK = 1 << 28
"""Bytes from which on a connection for many of them saves more time than it takes to stand."""
_DIGEST = (
    " digest() { if command -v openssl >/dev/null; then openssl dgst -sha256 -r;"
    " elif command -v sha256sum >/dev/null; then sha256sum;"
    ' elif command -v shasum >/dev/null; then shasum -a 256; fi <"$1" | cut -c1-64; };'
)
"""Prints a file's sha256, or nothing; openssl is first, since it alone uses what the processor has for it."""
_START = FOLDER + _DIGEST + (
    ' base=$1; shift; export LC_ALL=C; case $base in /*) ;; *) base=./$base;; esac; fail() { echo "$1"; exit 1; };'
    ' printf "%s ok %s\\n" "$mark" "$$";'
)  # fmt: skip
_LOOK = _START + (
    ' at=$base; while ! [ -d "$at" ]; do at=$(dirname "$at"); done; df -Pk "$at" | awk "END { print \\$4 }";'
    " while [ $# -gt 0 ]; do file=$base/$1 want=$2; shift 2; size=-1 part=0 sum=;"
    ' if [ -f "$file" ]; then size=$(($(wc -c <"$file")));'
    ' if [ "$size" = "$want" ]; then sum=$(digest "$file"); fi; fi;'
    ' if [ -f "$file.part" ]; then part=$(($(wc -c <"$file.part"))); fi;'
    ' echo "$size $part ${sum:--}"; done'
)
"""Prints the free KiB, then of each file its size, its part's size, and its digest if the size is the wanted one."""
_TAKE = (
    _START
    + LOCK
    + (
        " path=$1 offset=$2 size=$3 sha256=$4; folder=$base leaf=./${path##*/};"
        " case $path in */*) folder=$base/${path%/*};; esac;"
        ' mkdir -p "$folder" && root=$(cd -P "$base" && pwd -P) && cd -P "$folder" || fail cannot;'
        ' case $(pwd -P)/ in "${root%/}"/*) ;; *) fail outside;; esac; part=$leaf.part;'
        ' if [ -d "$leaf" ] && [ ! -L "$leaf" ]; then fail folder; fi;'
        ' if [ -L "$part" ] || { [ -e "$part" ] && [ ! -f "$part" ]; }; then fail link; fi;'
        ' while :; do (: >>"$part") || fail cannot; exec 8<>"$part";'
        " lock || case $? in 3) fail no-lock;; *) fail busy; esac;"
        ' if [ "$part" -ef /dev/fd/8 ]; then break; fi; done;'  # else it has just been given its name
        ' if [ "$offset" = 0 ]; then : >"$part"; fi; [ $(($(wc -c <"$part"))) = "$offset" ] || fail moved;'
        ' cat >>"$part" || fail cannot; now=$(($(wc -c <"$part"))); [ "$now" -ge "$size" ] || fail short;'
        ' if [ "$sha256" = - ] && [ "$now" = "$size" ]; then fail "done"; fi;'
        ' sum=$(digest "$part"); [ ${#sum} = 64 ] || fail no-digest;'
        ' if [ "$sum" != "$sha256" ]; then rm -f "$part"; fail "wrong $sum"; fi;'
        ' sync "$part" 2>/dev/null || sync; if [ -L "$leaf" ]; then rm -f "$leaf"; fi;'  # mv goes into a folder's link
        ' mv -f "$part" "$leaf" || fail cannot; sync . 2>/dev/null; fail "done"'
    )
)
"""Adds its input to a part, gives that its name if it is right then, and prints how it ended."""
_GIVE = _START + ' tail -c "+$(($2 + 1))" "$base/$1"'


class File(NamedTuple):
    """A file as it is to be: its path below the base folder, its bytes and their digest."""

    path: str
    size: int
    sha256: str


class Seen(NamedTuple):
    """A file on the host: its bytes, -1 if it is not there; those of its part; its digest if that was asked for."""

    size: int
    part: int
    sha256: str | None


class Copier:
    """Moves files between here and a folder of a host, over one connection, or another for many bytes."""

    def __init__(
        self, host: Host, connection: Connection, base: str, bulk: Callable[[], Connection | None] = lambda: None
    ) -> None:
        """Take the folder, absolute or of the host's repository; `bulk` makes the connection for many bytes.

        Both connections are its own to close.
        """
        self.host = host
        self.base = base
        self._connection = connection
        self._bulk = bulk
        self._quick: Connection | None = None

    def _for(self, size: int) -> Connection:
        """Return the connection that is the quickest for so many bytes."""
        if size < BULK:
            return self._connection
        if self._quick is None:
            self._quick = self._bulk() or self._connection
        return self._quick

    def close(self) -> None:
        """Hang up."""
        for connection in (self._connection, self._quick):
            if connection is not None:
                connection.close()

    def look(self, wanted: Mapping[str, int | None]) -> tuple[int, Mapping[str, Seen]]:
        """Return the free bytes there, and what there is of files.

        Args:
            wanted: by its path the size that makes a file worth reading for its digest; None: none does.
        """
        words = [word for path, size in wanted.items() for word in (path, "-" if size is None else str(size))]
        lines = self._run(_LOOK, words).out.decode("ascii", "replace").split("\n")
        found = [re.fullmatch(r"(-1|\d{1,18}) (\d{1,18}) ([0-9a-f]{64}|-)", line) for line in lines[1:-1]]
        if not re.fullmatch(r"\d{1,18}", lines[0]) or len(found) != len(wanted) or None in found:
            raise LlorchError(f"`{self.host.name}` cannot tell what is in `{self.base}`", hint=self._hint())
        seen = {
            path: Seen(int(match[1]), int(match[2]), None if match[3] == "-" else match[3])
            for path, match in zip(wanted, found, strict=True)
            if match is not None
        }
        return int(lines[0]) * 1024, seen

    def send(self, source: Path, file: File, part: int, progress: Progress, *, name: bool = True) -> bool:
        """Have a file of this machine there, going on after the part there.

        Args:
            part: the bytes of the part; 0 starts anew.
            name: compare it and give it its name, or leave the whole part to somebody else.

        Returns:
            False if it is not the promised file, because of the part, which is gone.

        Raises:
            IntegrityError: what was sent is not the promised file.
            LlorchError: it cannot be had there.
        """
        offset = part if part <= file.size else 0
        words = [file.path, str(offset), str(file.size), file.sha256 if name else "-"]
        with source.open("rb", buffering=0) as opened:
            opened.seek(offset)
            ended = self._run(_TAKE, words, opened.fileno(), progress.advance, size=file.size - offset)
        answer, _, sha256 = ended.out.decode("ascii", "replace").strip().partition(" ")
        if answer == "wrong":
            if offset:
                return False
            hint = f"what came was dropped; run it again, and see `llorch models verify` if `{source}` has changed"
            raise IntegrityError(self._name(file.path), f"sha256 {file.sha256}", f"sha256 {sha256}", hint=hint)
        if answer != "done":
            raise self._failure(answer, file.path, ended)
        return True

    def receive(self, path: str, offset: int, size: int, sink: Sink) -> None:
        """Pass on what a file of the host has from a byte on, which is about so many bytes.

        Raises:
            LlorchError: it cannot be read.
        """
        self._run(_GIVE, [path, str(offset)], sink=sink, size=size)

    def read(self, path: str, limit: int) -> bytes:
        """Return what is in a small file of the host, or more than `limit` bytes if it is not small."""
        raw = bytearray()

        def take(data: bytes) -> None:
            raw.extend(data)
            if len(raw) > limit:
                raise _Enough

        with suppress(_Enough):
            self.receive(path, 0, limit, take)
        return bytes(raw)

    def _run(
        self,
        text: str,
        words: Sequence[str],
        stdin: int | None = None,
        sent: Callable[[int], None] = lambda _: None,
        sink: Sink | None = None,
        size: int = 0,
    ) -> "_Ended":
        """Run one of our scripts to its end.

        Args:
            size: the bytes that will go over the connection, about.
            stdin: an open file that it reads.
            sent: is told of the bytes that have been read of that.
            sink: takes its output, instead of the answer.
        """
        out, err = bytearray(), bytearray()
        arguments = (self.host.repository, self.base, *words)
        with _feed(stdin, sent) as (pipe, hold):
            request = Request(text, arguments, stdin=pipe)
            ended = run_on(self._for(size), request, sink or out.extend, err.extend, hold)
        forward.judge(self.host, ended)
        said = err.decode(errors="replace").strip().rpartition("\n")[2]
        if ended.code == FAILED:
            raise ConnectionFailed(
                self.host.name, said or "the connection broke", hint="what came is kept: run it again"
            )
        if sink is not None and ended.code:
            raise LlorchError(f"`{self._name(words[0])}` cannot be read: {said}", hint=self._hint())
        return _Ended(ended, bytes(out), said)

    def _failure(self, answer: str, path: str, ended: "_Ended") -> LlorchError:
        name = self._name(path)
        match answer:
            case "outside":
                return Refused(f"`{name}` would be outside of `{self.base}`: a link leads there", hint=self._hint())
            case "folder":
                return Refused(f"there is a folder in the place of `{name}`", hint="move it away, then run it again")
            case "link":
                return Refused(
                    f"`{name}.part` is no file, and one is to grow there", hint="remove it, then run it again"
                )
            case "busy" | "moved":
                hint = "wait for it, then run it again; one whose line was cut ends when sshd there notices"
                return Busy(f"another process is writing `{name}.part`", hint=hint)
            case "no-lock":
                return ToolMissing(
                    f"`{self.host.name}` has neither `flock` nor perl nor python3", hint="install one there"
                )
            case "no-digest":
                return ToolMissing(
                    f"`{self.host.name}` has no openssl, `sha256sum` or `shasum`", hint="install one there"
                )
            case "short":
                return LlorchError(f"`{name}` ended early", hint="what came is kept: run it again")
        reason = ended.said.rpartition(": ")[2] or "it does not say why"
        if "No space left" in ended.said or "quota" in ended.said:
            return DiskFull(f"the disk is full: `{name}` cannot be written", hint="make room there; what came is kept")
        return DiskFull(f"`{name}` cannot be written: {reason}", hint=self._hint())

    def _name(self, path: str) -> str:
        return f"{self.host.name}:{self.base}/{path}"

    def _hint(self) -> str:
        return f"see `llorch remote exec {self.host.name} -- ls -la {self.base}`"


class _Ended(NamedTuple):
    ended: Ended
    out: bytes
    said: str
    """The last line of what it wrote to stderr."""


class _Enough(Exception):
    """Ends the reading of a file."""


@contextmanager
def _feed(stdin: int | None, sent: Callable[[int], None]) -> Iterator[tuple[int | None, Callable[[Process], Any]]]:
    """Yield a pipe to be read instead of a file, and what is to surround the time in which it is.

    A file itself would be read to its end by an ssh that outlives this process.
    """
    if stdin is None:
        yield None, lambda _: nullcontext()
        return
    source = os.dup(stdin)
    reading, writing = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux, where it is 64 KiB
        with suppress(OSError):  # a user may have so much in all his pipes
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, CHUNK)
    problems: list[BaseException] = []

    def feed() -> None:
        try:
            while data := os.read(source, CHUNK):
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(writing, rest) :]
                sent(len(data))
        except BrokenPipeError:
            pass  # the script has ended before, and says why
        except BaseException as error:  # handed to the thread that waits for this one
            problems.append(error)
        finally:
            os.close(writing)
            os.close(source)

    thread = threading.Thread(target=feed, daemon=True)

    @contextmanager
    def hold(_: Process) -> Iterator[None]:
        os.close(reading)  # whoever reads has one of its own
        thread.start()
        yield
        thread.join()

    try:
        yield reading, hold
    finally:
        if thread.ident is None:
            for fd in (reading, writing, source):
                os.close(fd)
    if problems:
        raise problems[0]


def ask_llorch(host: Host, connection: Connection, words: Sequence[str]) -> Mapping[str, Any] | None:
    """Return the JSON document of a command of the llorch on a host, None if there is no llorch.

    Raises:
        IntegrityError: that is its error.
        LlorchError: it has another error, or is none that we know.
    """
    import json

    out, err = bytearray(), bytearray()
    ended = run_on(connection, forward.forward_request(host, ["--json", *words], (), 80), out.extend, err.extend)
    if ended.state == "no-llorch" and not host.llorch:
        return None
    forward.judge(host, ended)
    try:
        document = json.loads(out)
        error = document.get("error")
        if error is None:
            return dict(document)
        message, hint = f"`{host.name}`: {error['message']}", error["hint"] and str(error["hint"])
        if error["code"] == IntegrityError.code:
            raise IntegrityError(f"{host.name}:{error['path']}", error["expected"], error["actual"], hint=hint)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        said = err.decode(errors="replace").strip().rpartition("\n")[2]
        message, hint = f"the llorch of `{host.name}` answers with no document: {said}", None
    raise LlorchError(message, hint=hint)
