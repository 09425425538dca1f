"""What a dodo.py takes from llorch: `from llorch.dodo import *`."""

from llorch.build.tasks import task_build
from llorch.cache.tasks import task_cache
from llorch.dev.tasks import task_dev
from llorch.engine import doit_config
from llorch.git.tasks import task_git
from llorch.models.tasks import task_convert, task_fetch, task_models, task_quantize, task_verify
from llorch.models.tool_tasks import task_tool
from llorch.remote.tasks import task_remote
from llorch.test.tasks import task_test

__all__ = [
    "DOIT_CONFIG",
    "task_build",
    "task_cache",
    "task_convert",
    "task_dev",
    "task_fetch",
    "task_git",
    "task_models",
    "task_quantize",
    "task_remote",
    "task_test",
    "task_tool",
    "task_verify",
]

DOIT_CONFIG = doit_config()
