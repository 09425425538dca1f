"""A store as one run uses it: whose records count, and given up at the first failure, so that no task fails for it."""

import threading
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from llorch.cache.records import Seal
from llorch.cache.store import Store
from llorch.errors import LlorchError, NotFound, Offline, Unreachable, Unshared

Answer = TypeVar("Answer")
Way = Literal["read", "write"]


class Own:
    """The seal of a store that nobody else may write to: none."""

    can_sign = trusts = True

    def sign(self, payload: bytes) -> str:
        """Return no signature."""
        return ""

    def flaw(self, payload: bytes, signature: str) -> str:
        """Believe it."""
        return ""


class Signed:
    """The seal of a shared store: the configured keys."""

    def __init__(self, sign_key: str, trusted_keys: Sequence[str]) -> None:
        """Take the keys.

        Raises:
            ConfigError: one of them is none.
        """
        from llorch.cache.signing import Trusted, load_signer

        self._signer = load_signer(sign_key)
        self._trusted = Trusted(trusted_keys)
        self.can_sign = self._signer is not None
        self.trusts = bool(trusted_keys)

    def sign(self, payload: bytes) -> str:
        """Return the configured key's signature."""
        assert self._signer is not None, "asked for only where `can_sign`"
        return self._signer.sign(payload)

    def flaw(self, payload: bytes, signature: str) -> str:
        """Return what is wrong with a signature."""
        if not signature:
            return "it is not signed"
        return "" if self._trusted.signer_of(payload, signature) else "no trusted key has signed it"


class Shelf:
    """A store, opened when it is needed first."""

    def __init__(
        self,
        name: str,
        ways: set[Way],
        opened: Callable[[], tuple[Store, Own | Signed]],
        warn: Callable[[str], None],
    ) -> None:
        """Use what `opened` opens.

        Args:
            name: how messages call it until it is open.
            ways: what it may be used for.
            warn: is told, once, why it cannot be used.
        """
        self.name = name
        self.ways = ways
        self.error: LlorchError | None = None
        """Why it has been given up."""
        self._opened = opened
        self._warn = warn
        self._lock = threading.RLock()
        self._found: tuple[Store, Own | Signed] | None = None

    def ask(self, way: Way, question: Callable[[Store, Seal], Answer]) -> Answer | None:
        """Return what the store answers; None where it may not or cannot be used so, or has not what is asked for.

        Whatever is wrong with what it has is the question's own business.

        Raises:
            Unshared: the question's own.
        """
        opened = self.open(way)
        if opened is None:
            return None
        try:
            return question(*opened)
        except NotFound:
            return None
        except Unshared:
            raise  # no fault of the store's
        except LlorchError as error:
            self._give_up(way, error)
            return None

    def open(self, way: Way) -> tuple[Store, Own | Signed] | None:
        """Return the store and its seal, None where it may not be used so, or cannot."""
        with self._lock:
            if way not in self.ways:
                return None
            if self._found is None:
                try:
                    self._found = self._opened()
                except LlorchError as error:
                    self.ways.clear()
                    self._say("cannot be used", error)
                    return None
                self.name = self._found[0].name
            return self._found if way in self.ways else None  # opening it may have shown that it is only read

    def _give_up(self, way: Way, error: LlorchError) -> None:
        with self._lock:
            if way not in self.ways:
                return
            self.ways.discard(way)
            if isinstance(error, Unreachable):
                self.ways.clear()
            self._say("cannot be read" if way == "read" else "cannot be written to", error)

    def _say(self, what: str, error: LlorchError) -> None:
        self.error = error
        if isinstance(error, Offline):
            return  # that is what the user has asked for
        self._warn(f"the store `{self.name}` {what}, and this run goes on without: {error.message}")
