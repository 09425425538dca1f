"""The tasks of this workspace for plain `doit`; add your own below."""

from llorch.dodo import *  # noqa: F403  # DOIT_CONFIG and every task creator of llorch, also those to come
