"""The switches of the environment, which plain `doit` has too."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    Switch = Literal["LLORCH_DRY_RUN", "LLORCH_NO_CACHE", "LLORCH_NO_WAIT", "LLORCH_OFFLINE", "LLORCH_XET", "CI"]


def is_on(switch: Switch, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a switch of the environment is on: set to anything but nothing, 0, false, no or off.

    >>> is_on("LLORCH_DRY_RUN", {"LLORCH_DRY_RUN": "0"})
    False
    """
    value = environ.get(switch, "").strip().lower()
    return bool(value) if switch == "CI" else value not in ("", "0", "false", "no", "off")
