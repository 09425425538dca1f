"""Make what a recipe describes, if it is not fresh: under locks, with a second look, and a record at the end."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from llorch.errors import TaskFailure
from llorch.locks import hold
from llorch.progress import Progress
from llorch.session import Done, Session, Work, session
from llorch.share import Sharing
from llorch.state import Recipe, State


def make(recipe: Recipe, work: Work, progress: Progress, *, forced: bool = False, share: Sharing | None = None) -> Done:
    """Wait for whoever makes the same, look again, restore it or else work, and commit what was made.

    A task's work may make another recipe by it, one that it needs only sometimes.

    Args:
        forced: work even if everything is fresh.
        share: how the targets are told from those of other machines; without it they are those of this one only,
            unless the recipe promises what they are.

    Raises:
        LlorchError: as `work`, and whatever hinders the locks and the record.
        TaskFailure: `work` ended without making a target, or an input has changed meanwhile.
    """
    run = session()
    with _alone(run, recipe):
        if not forced:
            if _is_fresh_after_all(run.state, recipe, progress):
                return Done("already there", made=False, values=run.state.record(recipe.name).get("values") or {})
            restored = _restore(run, recipe, progress, share)
            if restored is not None:
                return restored
        before = _digests(run.state, recipe.inputs)
        done = work(progress)
        changed = [path for path, digest in _digests(run.state, recipe.inputs).items() if digest != before[path]]
        if changed:  # what was made may be of one, of the other, or of both
            raise TaskFailure(f"`{changed[0]}` has changed while `{recipe.name}` was at work", hint="run it again")
        _commit(run.state, recipe, done.inputs if recipe.learns else before, done)
    if done.made and (share or recipe.promised) and run.stores is not None:
        from llorch.cache.publish import publish  # only what was made needs it

        publish(run.stores, recipe, share() if share else None, progress)
    return done


def restore(recipe: Recipe, progress: Progress, share: Sharing | None) -> Done | None:
    """Do the same as `make`, but no work: return None where there is something to be made.

    Raises:
        LlorchError: whatever hinders the locks and the record.
    """
    run = session()
    with _alone(run, recipe):
        if _is_fresh_after_all(run.state, recipe, progress):
            return Done("already there", made=False)
        return _restore(run, recipe, progress, share)


@contextmanager
def _alone(run: Session, recipe: Recipe) -> Iterator[None]:
    """Hold the targets' locks, and take in what others have done until then."""
    with ExitStack() as locks:
        for target in sorted(recipe.targets):
            locks.enter_context(hold(run.workspace, target.path, recipe.name))
            if recipe.shared:
                locks.enter_context(hold(run.workspace, target.path, recipe.name, within=recipe.shared))
        run.state.refresh(recipe)
        yield


def _restore(run: Session, recipe: Recipe, progress: Progress, share: Sharing | None) -> Done | None:
    """Take the targets from a store, and commit them as if they had been made here; None if it has not all of them."""
    if run.stores is None or not (share or recipe.promised):
        return None
    from llorch.cache.restore import fill, restore

    if recipe.promised:
        names = fill(run.stores, recipe, share() if share else None, progress)
        if not names or run.state.reasons(recipe):
            return None
        done = Done(f"from {', '.join(names)}", values={"restored_from": names[0]}, restored=True)
    else:
        assert share is not None, "looked at above"
        found = restore(run.stores, recipe, share(), progress)
        if found is None:
            return None
        done = Done(f"from {found.store}", values=found.values, inputs=found.inputs, restored=True)
    inputs = done.inputs if recipe.learns else {name: done.inputs[name] for name in recipe.inputs}
    _commit(run.state, recipe, inputs, done)
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
    _commit(
        state, recipe, _digests(state, state.inputs(recipe)), Done(values=state.record(recipe.name).get("values") or {})
    )
    return True


def _commit(state: State, recipe: Recipe, inputs: Mapping[str, str | None], done: Done) -> None:
    missing = [target.path for target in recipe.targets if not os.path.exists(state.absolute(target.path))]
    if missing:
        raise TaskFailure(f"`{recipe.name}` ended without making `{missing[0]}`")
    targets = _digests(state, [target.path for target in recipe.targets])
    record = {**state.record(recipe.name), "definition": recipe.definition, "inputs": inputs, "targets": targets}
    if done.made:
        record["values"] = dict(done.values)
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
