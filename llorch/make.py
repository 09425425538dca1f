"""Make what a recipe describes, if it is not fresh: under locks, with a second look, and a record at the end."""

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from llorch.errors import TaskFailure
from llorch.locks import hold
from llorch.progress import Progress
from llorch.session import Done, Work, session
from llorch.state import Recipe, State


def make(recipe: Recipe, work: Work, progress: Progress, *, forced: bool = False) -> Done:
    """Wait for whoever makes the same, look again, work, and commit what was made.

    A task's work may make another recipe by it, one that it needs only sometimes.

    Args:
        forced: work even if everything is fresh.

    Raises:
        LlorchError: as `work`, and whatever hinders the locks and the record.
        TaskFailure: `work` ended without making a target, or an input has changed meanwhile.
    """
    run = session()
    with ExitStack() as locks:
        for target in sorted(recipe.targets):
            locks.enter_context(hold(run.workspace, target.path, recipe.name))
        run.state.refresh(recipe)
        if not forced and _is_fresh_after_all(run.state, recipe, progress):
            return Done("already there", made=False, values=run.state.record(recipe.name).get("values") or {})
        before = _digests(run.state, recipe.inputs)
        done = work(progress)
        changed = [path for path, digest in _digests(run.state, recipe.inputs).items() if digest != before[path]]
        if changed:  # what was made may be of one, of the other, or of both
            raise TaskFailure(f"`{changed[0]}` has changed while `{recipe.name}` was at work", hint="run it again")
        _commit(run.state, recipe, done.inputs if recipe.learns else before, done)
    return done


def _is_fresh_after_all(state: State, recipe: Recipe, progress: Progress) -> bool:
    """Tell whether only signatures had changed, or another run has done the work meanwhile."""
    reasons = state.reasons(recipe)
    if any(reason.kind != "unread" for reason in reasons):
        return False
    for reason in reasons:
        progress.say(f"reading {reason.what}")
        progress.total(os.path.getsize(state.absolute(reason.what)))
        state.digest(reason.what, progress.advance)
    if state.reasons(recipe):
        return False
    _commit(state, recipe, _digests(state, state.inputs(recipe)), Done())
    return True


def _commit(state: State, recipe: Recipe, inputs: Mapping[str, str | None], done: Done) -> None:
    missing = [target.path for target in recipe.targets if not os.path.exists(state.absolute(target.path))]
    if missing:
        raise TaskFailure(f"`{recipe.name}` ended without making `{missing[0]}`")
    targets = _digests(state, [target.path for target in recipe.targets])
    record = {**state.record(recipe.name), "definition": recipe.definition, "inputs": inputs, "targets": targets}
    if record != state.record(recipe.name) or done.made:
        state.save(recipe.name, record)


def _digests(state: State, paths: Iterable[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for path in paths:
        try:
            found[path] = state.digest(path)
        except (FileNotFoundError, NotADirectoryError):
            found[path] = None
    return found
