"""The tasks of models: `fetch:ID`, `verify:ID`, `convert:ID`, and `models:ID`, which is all of them."""

import functools
from collections.abc import Iterator
from typing import Any

from llorch.engine import creator, file_task
from llorch.errors import ToolMissing
from llorch.models.catalog import Model, load_models
from llorch.models.receipt import origin_of
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
def task_convert(run: Session) -> Iterator[dict[str, Any]]:
    """Make GGUF files of other checkpoints"""
    for model in models().values():
        if model.entry.convert is not None:
            target = Target(f"{model.folder}/{model.entry.convert.to}")
            recipe = Recipe(f"convert:{model.id}", (target,), model.paths, {"outtype": model.entry.convert.outtype})
            work = functools.partial(_convert, model, target.path)
            yield file_task(recipe, work, f"Convert {model.entry.name or model.id}")


@creator
def task_models(run: Session) -> Iterator[dict[str, Any]]:
    """Have models on disk, verified"""
    for model in models().values():
        run.products[f"models:{model.id}"] = _main_file(model)
        steps = ["fetch", "verify", *(["convert"] if model.entry.convert is not None else [])]
        yield {
            "name": model.id,
            "actions": None,
            "task_dep": [f"{step}:{model.id}" for step in steps],
            "doc": model.entry.name or model.id,
            "meta": {"ready": functools.partial(_ready, model)},
        }


def _main_file(model: Model) -> str:
    """Return the file that a runtime takes: what was made last, else the first GGUF, else the first."""
    made = [step.to for step in (model.entry.quantize, model.entry.convert) if step is not None]
    ggufs = [path for path in model.paths if path.endswith(".gguf")]
    return next(iter([f"{model.folder}/{to}" for to in made] + ggufs), model.paths[0])


def _fetch(model: Model, progress: Progress) -> Done:
    from llorch.models import fetch as rules  # like the one below a tenth of a run with nothing to do

    run = session()
    fetched = rules.fetch(model, run.workspace, run.state, progress)
    if not fetched.got and not fetched.taken:
        return Done("already there", made=False)
    parts = [f"{_files(fetched.taken)} found on this machine"] if fetched.taken else []
    parts += [f"{bytes_text(fetched.size)}, {_files(fetched.got)}"] if fetched.got else []
    # A commit that the entry names already is no news.
    commit = "" if fetched.commit == model.entry.revision else fetched.commit
    return Done(", ".join(parts), values={"commit": commit} if commit else {})


def _files(paths: tuple[str, ...]) -> str:
    return paths[0].rsplit("/", 1)[-1] if len(paths) == 1 else f"{len(paths)} files"


def _verify(model: Model, progress: Progress) -> Done:
    from llorch.models.verify import write_receipt

    run = session()
    values = run.state.record(f"fetch:{model.id}").get("values") or {}
    written = write_receipt(model, run.workspace, run.state.digest, values.get("commit", ""))
    files = len(model.entry.files)
    return Done(f"{files} file{'s' if files > 1 else ''} as promised", made=written)


def _convert(model: Model, target: str, progress: Progress) -> Done:
    raise ToolMissing(
        f"this version of llorch cannot make `{target}`: it has no converter",
        hint=f"the sources are in `{model.folder}/source`, verified; `convert_hf_to_gguf.py` of llama.cpp takes them",
    )


def _ready(model: Model) -> tuple[str, ...]:
    """Return what to tell whoever asked for the model: where it is, and what to do next."""
    if len(model.paths) > 1:
        return f"ready:  {model.folder}", f"next:   see `llorch models info {model.id}`"
    (path,) = model.paths
    return (
        f"ready:  {path}",
        f"sha256: {session().state.known(path)}",
        f"next:   give the path to your runtime, or see `llorch models info {model.id}`",
    )
