"""Read what a checkpoint says of its model, each setting and each tensor as it is asked for, and checked then.

A setting that is not what is needed is refused by its name, and so is a tensor that nobody has asked for. Which are
needed is for `architectures`.
"""

import re
from typing import Any

from llorch.errors import Malformed, Unsupported
from llorch.models.checkpoint import CONFIG, Checkpoint, Stored

LEAST, MOST = 1e-30, 1e30
"""A GGUF file has its numbers as F32, where those beyond are 0 or infinite."""
HINT = "set `engine = \"llama.cpp\"` in the entry's `convert`: llama.cpp's own converter knows more models"


def shown(value: Any) -> str:
    """Return a value of a file, which may be anything, for a message.

    >>> shown("a" * 100) == repr("a" * 60) + "…"
    True
    """
    text = repr(value)
    return text if len(text) <= 62 else repr(value[:60] if isinstance(value, str) else text[:60]) + "…"


class Config:
    """What config.json says, each value checked as it is asked for."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.name = checkpoint.files[CONFIG].name
        self._values = checkpoint.config

    def get(self, key: str) -> Any:
        """Return a value as it is, None if there is none."""
        return self._values.get(key)

    def count(self, *keys: str, default: int | None = None) -> int:
        """Return the first of these that is there, which has to be a whole number above 0."""
        key = next((key for key in keys if self.get(key) is not None), keys[0])
        value = default if self.get(key) is None else self.get(key)
        if type(value) is not int or not 0 < value < 1 << 31:
            raise Malformed(self.name, f"`{key}` is to be a number above 0, and is {shown(value)}")
        return value

    def number(self, key: str) -> float:
        """Return a number above 0."""
        return self.above_0(key, self.get(key))

    def above_0(self, key: str, value: Any) -> float:
        """Return a value that was found for a key, which has to be a number above 0."""
        if type(value) not in (int, float) or not LEAST < value < MOST:
            raise Malformed(self.name, f"`{key}` is to be a number above 0, and is {shown(value)}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = default if self.get(key) is None else self.get(key)
        if not isinstance(value, bool):
            raise Malformed(self.name, f"`{key}` is to be true or false, and is {shown(value)}")
        return value

    def must(self, key: str, *known: Any) -> None:
        """Refuse what is not known to be the same model; a key that is not there has the first of the values."""
        value = self.get(key)
        if value is not None and value not in known:
            raise Unsupported(f"`{self.name}` has `{key}` = {shown(value)}, which is not proven here", hint=HINT)


class Tensors:
    """The tensors of a checkpoint, each taken once."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._left = dict(checkpoint.tensors)
        self._config = checkpoint.files[CONFIG].name

    def __contains__(self, name: str) -> bool:
        """Tell whether a tensor is there and not taken yet."""
        return name in self._left

    def take(self, name: str, *shape: int) -> Stored:
        """Return a tensor, which has to be of this shape."""
        stored = self._left.pop(name, None)
        if stored is None:
            raise Malformed(self._config, f"the model needs a tensor `{name}`, and the weights have none")
        if stored.shape != shape:
            there, needed = (" x ".join(map(str, each)) or "one number" for each in (stored.shape, shape))
            raise Malformed(stored.file.name, f"tensor `{name}` is {there}, and by `{self._config}` it is {needed}")
        return stored

    def shorten(self, prefix: str) -> None:
        """Call tensors without the prefix that some checkpoints have."""
        for name in [name for name in self._left if name.startswith(prefix)]:
            stored, short = self._left.pop(name), name.removeprefix(prefix)
            if short in self._left:
                raise Malformed(stored.file.name, f"there is a tensor `{name}` and a tensor `{short}`")
            self._left[short] = stored

    def drop(self, pattern: str) -> None:
        """Leave out tensors that a model is not made of."""
        for name in [name for name in self._left if re.fullmatch(pattern, name)]:
            del self._left[name]

    def finish(self) -> None:
        """Refuse what was not taken."""
        for name, stored in self._left.items():
            raise Unsupported(f"`{stored.file.name}` has a tensor `{name}`, which is not known here", hint=HINT)
