"""The tasks of models: `fetch:ID`, `verify:ID`, and `models:ID`, which is both."""

import functools
from collections.abc import Iterator
from typing import Any

from llorch.engine import creator, file_task
from llorch.models import fetch as rules
from llorch.models.catalog import Model, load_models
from llorch.models.receipt import origin_of
from llorch.models.verify import write_receipt
from llorch.progress import Progress
from llorch.session import Done, Session, session
from llorch.state import Recipe, Target
from llorch.ui import bytes_text


@functools.cache
def models() -> dict[str, Model]:
    """Return the models of the session's workspace.

    Raises:
        ConfigError: the catalog is wrong.
    """
    run = session()
    return load_models(run.workspace, run.settings)


def fetch_recipe(model: Model) -> Recipe:
    """Return what `fetch:ID` makes: the model's files, out of nothing but the entry."""
    targets = tuple(Target(model.path(file), file.size, file.sha256) for file in model.entry.files)
    return Recipe(f"fetch:{model.id}", targets, (), _definition(model))


def verify_recipe(model: Model) -> Recipe:
    """Return what `verify:ID` makes: the receipt, out of the files."""
    return Recipe(f"verify:{model.id}", (Target(model.receipt),), model.paths, _definition(model))


def _definition(model: Model) -> dict[str, Any]:
    return {
        "origin": list(origin_of(model)),
        "files": [[file.path, file.size, file.sha256, file.url] for file in model.entry.files],
    }


@creator
def task_fetch(run: Session) -> Iterator[dict[str, Any]]:
    """Download models"""
    for model in models().values():
        work = functools.partial(_fetch, model)
        yield file_task(fetch_recipe(model), work, f"Download {model.entry.name or model.id}")


@creator
def task_verify(run: Session) -> Iterator[dict[str, Any]]:
    """Compare models with the catalog and write their receipts"""
    for model in models().values():
        work = functools.partial(_verify, model)
        yield file_task(verify_recipe(model), work, f"Verify {model.entry.name or model.id}")


@creator
def task_models(run: Session) -> Iterator[dict[str, Any]]:
    """Have models on disk, verified"""
    for model in models().values():
        yield {
            "name": model.id,
            "actions": None,
            "task_dep": [f"fetch:{model.id}", f"verify:{model.id}"],
            "doc": model.entry.name or model.id,
            "meta": {"ready": functools.partial(_ready, model)},
        }


def _fetch(model: Model, progress: Progress) -> Done:
    run = session()
    fetched = rules.fetch(model, run.workspace, run.state, progress)
    if not fetched.got:
        return Done("already there", made=False)
    what = fetched.got[0] if len(fetched.got) == 1 else f"{len(fetched.got)} files"
    return Done(f"{what}, {bytes_text(fetched.size)}")


def _verify(model: Model, progress: Progress) -> Done:
    run = session()
    written = write_receipt(model, run.workspace, run.state.digest)
    files = len(model.entry.files)
    return Done(f"{files} file{'s' if files > 1 else ''} as promised", made=written)


def _ready(model: Model) -> tuple[str, ...]:
    """Return what to tell whoever asked for the model: where it is, and what to do next."""
    run = session()
    path = model.paths[0]
    digest = run.state.known(path) or ""
    return (
        f"ready: {path} (sha256 {digest})",
        f"next: `llorch models info {model.id}` shows what it is; give its path to your runtime, as in"
        f" `llama-cli -m {path}`",
    )
