"""The stores of one run: the user's own, and the shared one of `[cache] url`. Opened when one is needed first.

Whatever is wrong with either, no task fails for it: what cannot be restored is made, and what cannot be published stays
here. The user is told once.
"""

import os
import threading
from collections.abc import Callable

from llorch import config
from llorch.cache.keys import Places
from llorch.cache.local import LocalStore, store_folder
from llorch.cache.shelf import Own, Shelf, Signed, Way
from llorch.cache.store import Store, open_store, shown_url
from llorch.config import Settings, Workspace
from llorch.errors import DiskFull, Unshared
from llorch.state import State


class Stores:
    """What the tasks of a run restore from and publish to. Safe to use from several threads."""

    def __init__(self, workspace: Workspace, settings: Settings, state: State, warn: Callable[[str], None]) -> None:
        """Use what the settings say.

        Args:
            warn: takes a line for the user.
        """
        self.workspace, self.settings, self.state = workspace, settings, state
        self.places = Places(workspace, settings.paths.models)
        self.wrong: set[tuple[Shelf, str]] = set()
        """What a store was found to have wrong, by its sha256."""
        self._warn = warn
        self._warned: set[str] = set()
        self._lock = threading.Lock()
        self.limit = config.parse_size(settings.cache.local_limit)
        url = settings.cache.url
        both: set[Way] = {"read", "write"}
        self.local = Shelf(str(store_folder()), both if self.limit else set(), self._open_local, self.warn)
        ways: set[Way] = {way for way in both if url and getattr(settings.cache, way)}
        self.remote = Shelf(shown_url(url) if url else "", ways, self._open_remote, self.warn)

    @property
    def both(self) -> tuple[Shelf, Shelf]:
        """The own store, and the shared one."""
        return self.local, self.remote

    def warn(self, text: str) -> None:
        """Tell the user, once in a run."""
        with self._lock:
            if text in self._warned:
                return
            self._warned.add(text)
        self._warn(text)

    def digest(self, name: str) -> str | None:
        """Return the sha256 of what is in a place here, None where nothing can be read."""
        try:
            return self.state.digest(name)
        except OSError:
            return None

    def _open_local(self) -> tuple[Store, Own]:
        try:
            return LocalStore(store_folder()), Own()
        except OSError as error:
            raise DiskFull(f"`{error.filename}` cannot be made: {error.strerror}") from None

    def _open_remote(self) -> tuple[Store, Own | Signed]:
        settings = self.settings.cache
        store = open_store(settings.url, self.workspace, self.settings.remote.connect_timeout)
        if not store.shared:
            return store, Own()
        # A machine without the secret has the same configuration as those that publish, and is none of them.
        kind, _, secret = settings.sign_key.partition(":")
        if kind == "env" and not os.environ.get(secret):
            self.remote.ways.discard("write")
            self.remote.error = Unshared(f"`{store.name}` is only read here: `{secret}`, the `sign_key`, is not set")
            return store, Signed("", settings.trusted_keys)
        return store, Signed(settings.sign_key if "write" in self.remote.ways else "", settings.trusted_keys)
