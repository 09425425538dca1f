"""The tasks of models: `fetch:ID`, `convert:ID`, `quantize:ID`, `verify:ID`, and `models:ID`, which is all of them."""

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llorch.engine import creator, file_task
from llorch.errors import Unshared
from llorch.models.catalog import Convert, Model, Quantize, load_models
from llorch.models.receipt import Made, origin_of
from llorch.progress import Progress
from llorch.session import Done, Ready, Session, session
from llorch.share import Maker, Record, Share
from llorch.state import Recipe, Target
from llorch.ui import bytes_text

CONVERTER = "1"
"""Rises when llorch's own converter makes another file of the same checkpoint, so that it is converted again."""


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


def convert_recipe(model: Model, step: Convert) -> Recipe:
    """Return what `convert:ID` makes: a GGUF file, out of the files."""
    inputs, tool, version = model.paths, "llorch", CONVERTER
    if step.engine == "llama.cpp":
        from llorch.models import llama_cpp, tools

        tool, version = tools.CONVERT.name, tools.CONVERT.requirements[0]
        programs = llama_cpp.find_programs(session().workspace)
        if programs:
            inputs, version = (*inputs, *map(session().workspace.name, programs)), ""
    return _recipe("convert", model, step.to, inputs, tool, version, {"outtype": step.outtype})


def quantize_recipe(model: Model, step: Quantize) -> Recipe:
    """Return what `quantize:ID` makes: a smaller GGUF file, out of the converted one."""
    from llorch.models.quantize import find_libraries, find_llama_quantize
    from llorch.models.tools import LLAMA_QUANTIZE

    inputs, version = model.made[:1], LLAMA_QUANTIZE.requirements[0]
    program = find_llama_quantize(session().workspace)
    if program is not None:
        inputs, version = (*inputs, *map(session().workspace.name, (program, *find_libraries(program)))), ""
    return _recipe("quantize", model, step.to, inputs, LLAMA_QUANTIZE.name, version, {"type": step.type})


def _recipe(
    task: str, model: Model, to: str, inputs: tuple[str, ...], tool: str, version: str, options: Mapping[str, str]
) -> Recipe:
    """Return the recipe of a file that is made; of a tool without a version, its files are among the inputs."""
    by = {"tool": tool, "version": version, "options": options}
    return Recipe(f"{task}:{model.id}", (Target(f"{model.folder}/{to}"),), inputs, by)


def product_recipes(model: Model) -> list[Recipe]:
    """Return what is made of the model's files, in order."""
    found = []
    if model.entry.convert is not None:
        found.append(convert_recipe(model, model.entry.convert))
    if model.entry.quantize is not None:
        found.append(quantize_recipe(model, model.entry.quantize))
    return found


def verify_recipe(model: Model) -> Recipe:
    """Return what `verify:ID` makes: the receipt, out of the files and what was made of them."""
    definition = _definition(model)
    if model.made:  # the receipt tells how, also where another way has led to the same bytes
        definition["made"] = [recipe.definition for recipe in product_recipes(model)]
    return Recipe(f"verify:{model.id}", (Target(model.receipt),), (*model.paths, *model.made), definition)


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
        recipe = fetch_recipe(model)
        share = functools.partial(FilesShare, model, recipe)
        yield file_task(recipe, work, f"Download {model.entry.name or model.id}", share=share)


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
        step = model.entry.convert
        if step is not None:
            recipe = convert_recipe(model, step)
            work = functools.partial(_make, model, recipe, functools.partial(_convert, model, step))
            # llorch's own makes the same of the same everywhere; of others nobody knows.
            anywhere = step.engine == "builtin"
            share = functools.partial(Share, recipe, settings=asdict(step), anywhere=anywhere)
            yield file_task(recipe, work, f"Convert {model.entry.name or model.id}", share=share)


@creator
def task_quantize(run: Session) -> Iterator[dict[str, Any]]:
    """Make smaller GGUF files of converted ones"""
    for model in models().values():
        step = model.entry.quantize
        if step is not None:
            recipe = quantize_recipe(model, step)
            work = functools.partial(_make, model, recipe, functools.partial(_quantize, model, step))
            share = functools.partial(Share, recipe, settings=asdict(step))
            yield file_task(recipe, work, f"Quantize {model.entry.name or model.id}", share=share)


@creator
def task_models(run: Session) -> Iterator[dict[str, Any]]:
    """Have models on disk, verified"""
    for model in models().values():
        run.products[f"models:{model.id}"] = model.main
        makes = {"convert": model.entry.convert, "quantize": model.entry.quantize}
        steps = ["fetch", *(name for name, step in makes.items() if step is not None), "verify"]
        yield {
            "name": model.id,
            "actions": None,
            "task_dep": [f"{step}:{model.id}" for step in steps],
            "doc": model.entry.name or model.id,
            "meta": {"ready": Ready(_ready, model)},
        }


class FilesShare(Share):
    """A model's files, which their sha256 tells from all others."""

    def __init__(self, model: Model, recipe: Recipe) -> None:
        super().__init__(recipe)
        self._model = model

    def here(self) -> Maker:
        """Refuse: a record would not tell what the source has."""
        raise Unshared(f"the catalog does not say what the files of `{self._model.id}` are")

    def made(self, record: Record) -> Maker:
        """Refuse likewise."""
        return self.here()

    def take(self, progress: Progress) -> None:
        """Look for them where `fetch` looks on this machine."""
        from llorch.models import fetch as rules

        rules.take(self._model, session().workspace, session().state, progress)


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
    made = [_product(model, recipe) for recipe in product_recipes(model)]
    written = write_receipt(model, run.workspace, run.state.digest, values.get("commit", ""), made)
    files = len(model.entry.files)
    return Done(f"{files} file{'s' if files > 1 else ''} as promised", made=written)


def _make(model: Model, recipe: Recipe, work: Callable[[Path, str, Progress], None], progress: Progress) -> Done:
    """Make a file of others, unless one is there that the receipt vouches for and the state has forgotten."""
    from llorch.models.part import when_free

    run = session()
    ((name, _, _),) = recipe.targets
    place = run.workspace.path(name)
    if not run.state.record(recipe.name) and _is_vouched_for(model, recipe, progress):
        return Done("already there", made=False)
    when_free(functools.partial(work, place, name, progress), progress)
    return Done(bytes_text(place.stat().st_size))


def _is_vouched_for(model: Model, recipe: Recipe, progress: Progress) -> bool:
    """Tell whether the receipt says that the file that is there was made of what is there, in the same way."""
    from llorch.models.fetch import usable_receipt

    run = session()
    ((name, _, _),) = recipe.targets
    receipt = usable_receipt(model, run.workspace)
    said = receipt.made.get(model.made_name(name)) if receipt is not None else None
    place = run.workspace.path(name)
    if said is None or not place.is_file() or place.stat().st_size != said.size:
        return False
    progress.say(f"reading {name}")
    progress.total(said.size)
    digests = {path: run.state.digest(path) for path in recipe.inputs}
    return _made(model, recipe, digests, said.size, run.state.digest(name, progress.advance)) == said


def _product(model: Model, recipe: Recipe) -> Made:
    """Return what a recipe's record says of the file that it made."""
    run = session()
    record = run.state.record(recipe.name)
    ((name, digest),) = record["targets"].items()
    return _made(model, recipe, record["inputs"], run.workspace.path(name).stat().st_size, digest)


def _made(model: Model, recipe: Recipe, digests: Mapping[str, str], size: int, sha256: str) -> Made:
    names = {model.path(file): file.path for file in model.entry.files}
    names |= {path: model.made_name(path) for path in model.made}
    ((target, _, _),) = recipe.targets
    programs = "".join(digest for path, digest in digests.items() if path not in names)
    return Made(
        path=names[target],
        size=size,
        sha256=sha256,
        task=recipe.name,
        tool=recipe.definition["tool"],
        version=recipe.definition["version"] or f"sha256:{hashlib.sha256(programs.encode()).hexdigest()}",
        options=recipe.definition["options"],
        sources={names[path]: digest for path, digest in digests.items() if path in names},
    )


def _convert(model: Model, step: Convert, place: Path, name: str, progress: Progress) -> None:
    run = session()
    if step.engine == "llama.cpp":
        from llorch.models import llama_cpp
        from llorch.models.tool_tasks import have_tool
        from llorch.models.tools import CONVERT

        have_tool(CONVERT, progress)
        (script, *_) = llama_cpp.find_programs(run.workspace) or (CONVERT.path,)
        folder = run.workspace.path(f"{model.folder}/source")
        llama_cpp.convert(script, folder, place, name, step.outtype, progress)
        return
    from llorch.models.checkpoint import choose_files
    from llorch.models.convert import convert

    files = choose_files(
        {file.path: (run.workspace.path(model.path(file)), model.path(file)) for file in model.entry.files}
    )
    convert(files, place, name, model=model.id, outtype=step.outtype, progress=progress)


def _quantize(model: Model, step: Quantize, place: Path, name: str, progress: Progress) -> None:
    from llorch.models.quantize import find_llama_quantize, quantize
    from llorch.models.tool_tasks import have_tool
    from llorch.models.tools import LLAMA_QUANTIZE

    run = session()
    program = find_llama_quantize(run.workspace)
    if program is None:
        have_tool(LLAMA_QUANTIZE, progress)
        program = LLAMA_QUANTIZE.path
    quantize(run.workspace.path(model.made[0]), place, name, step.type, program, progress)


def _ready(model: Model) -> tuple[str, ...]:
    """Return what to tell whoever asked for the model: where it is, and what to do next."""
    if len(model.paths) > 1 and not model.made:
        return f"ready:  {model.folder}", f"next:   see `llorch models info {model.id}`"
    path = model.main
    return (
        f"ready:  {path}",
        f"sha256: {session().state.known(path)}",
        f"next:   give the path to your runtime, or see `llorch models info {model.id}`",
    )
