"""Stores in the buckets of clouds, by `obstore`: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.

Credentials, region and endpoint are those of the environment, in the clouds' own variables.
"""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from llorch.cache import store
from llorch.cache.store import CHUNK, Advance, Item, checked, is_key, length, pieces, shown_url, wrong_url
from llorch.errors import AccessDenied, DiskFull, LlorchError, NotFound, ToolMissing, Unreachable
from llorch.parallel import in_parallel

SMALL = 8 << 20
"""Bytes up to which an object goes up in one request, which the bucket takes only if there is none."""
PART = 5 << 20
"""Bytes of a part of a larger one, the least that S3 takes; what is sent in one request has `STALL` seconds."""
PARTS = 10_000
"""Parts that an object may have in S3."""
AT_ONCE = 4
RETRIES = 2
RETRIES_WITHIN = 30.0
"""Seconds after which a request that failed is not made again."""

Answer = TypeVar("Answer")

_PLACE = re.compile(r"//[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*/?", re.ASCII)
_HTTP = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}
_YES = ("1", "true", "on", "yes", "y")
"""What object_store takes for yes."""
_LOGIN = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN), AWS_REGION, AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}
_METADATA = re.compile(r"/latest/(api/token|meta-data)|computeMetadata|/metadata/identity")
"""Where a cloud's own machines ask for credentials: what is tried where the environment has none."""
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"(?:<Code>|\(code: )([A-Za-z]{1,40})[<)]")


class BucketStore:
    """A bucket, or a folder of keys in one."""

    shared = True

    def __init__(self, url: str, timeout: float) -> None:
        """Take a URL such as `s3://BUCKET/FOLDER`, and seconds for a connection to stand.

        Raises:
            ConfigError: it is none, or the environment does not say enough.
            ToolMissing: there is no obstore.
        """
        try:
            import obstore.store
        except ImportError:
            raise ToolMissing(
                f"`{shown_url(url)}` needs the package `obstore`", hint="`pip install 'llorch[cache]'` installs it"
            ) from None
        self.name = shown_url(url)
        self._scheme, _, place = url.partition(":")
        if not _PLACE.fullmatch(place):
            raise wrong_url(
                f"`{self._scheme}:` takes `{self._scheme}://BUCKET/FOLDER`; credentials come from the environment:"
                f" {_LOGIN[self._scheme]}"
            )
        self._obstore = obstore
        try:
            self._bucket = obstore.store.from_url(
                url.removesuffix("/"),
                client_options={
                    "connect_timeout": timedelta(seconds=timeout),
                    "read_timeout": timedelta(seconds=store.STALL),
                    "timeout": timedelta(days=1),  # the whole of a large object; what stalls ends before
                    "allow_http": os.environ.get(_HTTP[self._scheme], "").lower() in _YES,
                },
                retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRIES_WITHIN)},
            )
        except obstore.exceptions.BaseError as error:
            reason = str(error).partition("\n")[0].rpartition(": ")[2]
            raise wrong_url(f"`{self.name}` cannot be used: {reason}; set {_LOGIN[self._scheme]}", "warn") from None

    def size(self, key: str) -> int | None:
        """Return an object's bytes; see `store.Store`."""
        with suppress(NotFound), self._told():
            found = _interruptibly(lambda: self._obstore.head(self._bucket, checked(key)))
            return int(found["size"])
        return None

    def read(self, key: str) -> Iterator[bytes]:
        """Yield an object's contents; see `store.Store`."""
        with self._told():
            coming = _interruptibly(lambda: self._obstore.get(self._bucket, checked(key))).stream(CHUNK)
            while piece := _interruptibly(lambda: next(coming, b"")):
                yield piece

    def create(self, key: str, data: bytes | Path, advance: Advance | None = None) -> bool:
        """Store an object unless there is one; see `store.Store`.

        Of several that store one larger than `SMALL` at once, each may do it and be told so; the last one's stays.
        """
        if self.size(key) is not None:
            return False
        if length(data) <= SMALL:
            return self._create_small(key, b"".join(pieces(data, advance)))
        left = threading.Event()
        part = max(PART, -(-length(data) // PARTS))

        def come() -> Iterator[bytes]:
            for piece in pieces(data, advance):
                if left.is_set():
                    raise _Left
                yield piece

        with self._told():
            try:
                _interruptibly(
                    lambda: self._obstore.put(self._bucket, key, come(), chunk_size=part, max_concurrency=AT_ONCE)
                )
            except BaseException:
                left.set()  # so that the parts do not stay in the bucket
                raise
        return True

    def _create_small(self, key: str, data: bytes) -> bool:
        with self._told():
            try:
                _interruptibly(lambda: self._obstore.put(self._bucket, key, data, mode="create", use_multipart=False))
            except self._obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Store a small object over another; see `store.Store`."""
        with self._told():
            _interruptibly(lambda: self._obstore.put(self._bucket, checked(key), data, use_multipart=False))

    def items(self, prefix: str = "") -> Iterator[Item]:
        """Yield the objects below a folder of keys; see `store.Store`."""
        below = checked(prefix.removesuffix("/")) if prefix else None
        with self._told():
            listing = iter(self._obstore.list(self._bucket, below, chunk_size=1000))
            while found := _interruptibly(lambda: next(listing, [])):
                for item in found:
                    if is_key(item["path"]):
                        yield Item(item["path"], item["size"], item["last_modified"].timestamp())

    def delete(self, key: str) -> None:
        """Remove an object; see `store.Store`."""
        with suppress(NotFound), self._told():
            _interruptibly(lambda: self._obstore.delete(self._bucket, checked(key)))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn obstore's errors into ours. Its own words may hold a signed address, so only codes are taken of them."""
        try:
            yield
        except FileNotFoundError as error:
            raise self._not_found(str(error)) from None
        except self._obstore.exceptions.BaseError as error:
            raise self._problem(error) from None

    def _not_found(self, said: str) -> NotFound:
        if re.search("NoSuchBucket|ContainerNotFound", said):
            return NotFound(f"there is no bucket `{self.name}`", hint="make it, or correct `[cache] url`")
        return NotFound(f"`{self.name}` does not have it")

    def _problem(self, error: Exception) -> LlorchError:
        said = str(error)
        status = "".join(_STATUS.findall(said)[:1])
        code = "".join(_CODE.findall(said)[:1])
        answer = " ".join(filter(None, (status, code and f"({code})")))
        if _METADATA.search(said):
            return AccessDenied(f"there are no credentials for `{self.name}`", hint=f"set {_LOGIN[self._scheme]}")
        if status in ("401", "403") or code == "AccessDenied":
            return AccessDenied(
                f"`{self.name}` refuses us: {answer}",
                hint=f"check {_LOGIN[self._scheme]}; a bucket that may not be listed refuses what is not there, too",
            )
        if status == "404":
            return self._not_found(said)
        if status == "507":
            return DiskFull(f"the store `{self.name}` is full", hint="`llorch cache gc` makes room")
        if answer:
            return Unreachable(f"`{self.name}` answers {answer}", hint="try again later; check region and endpoint")
        reason = "no connection" if "kind: Connect" in said else "the connection was lost, or nothing came in time"
        return Unreachable(f"`{self.name}` cannot be reached: {reason}", hint="check the network, region and endpoint")


class _Left(Exception):
    """Ends an upload whose caller has left."""


def _interruptibly(work: Callable[[], Answer]) -> Answer:
    """Wait for obstore so that Ctrl-C ends the wait, which it does not see to itself."""
    if threading.current_thread() is threading.main_thread():
        return in_parallel([work], lambda work: work(), 1)[0]
    return work()
