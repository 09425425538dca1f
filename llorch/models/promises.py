"""What the catalog says of models of the Hub, held against what the Hub has. Nothing is fetched, nothing is written."""

import re
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llorch.errors import AccessDenied, LlorchError, NotFound, Problem, Unreachable, nearest
from llorch.models import hub
from llorch.models.catalog import SHIPPED_NAME, Catalog, File, Model
from llorch.models.news import AT_ONCE, Listed, Repository, ask_repository, complete
from llorch.parallel import in_parallel, in_time

PATIENCE = 60.0
"""Seconds for the Hub to tell of a repository, with all attempts."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Compared(NamedTuple):
    """What is not as the catalog says, and which models could not be compared, each with the reason."""

    problems: tuple[Problem, ...]
    skipped: tuple[tuple[str, str], ...]


def check_revisions(catalog: Catalog) -> Iterator[Problem]:
    """Yield a warning for each of the workspace's entries whose contents may become others by themselves."""
    for id, model in catalog.models.items():
        own = catalog.documents[id].name != SHIPPED_NAME and id not in (catalog.left_out or ())
        revision = model.entry.revision
        if own and model.entry.source == "hf" and not _COMMIT.fullmatch(revision):
            yield _problem(
                catalog,
                model,
                ("revision",),
                f"`{revision}` is a branch or tag, which may be moved to other files",
                f"`llorch models pin {id}` writes what it is now",
                warn=True,
            )


def of_the_hub(catalog: Catalog) -> list[Model]:
    """Return the models that the Hub can be asked about: those whose entries are right."""
    right = (model for id, model in catalog.models.items() if id not in (catalog.left_out or ()))
    return [model for model in right if model.entry.source == "hf" and model.entry.repo]


def compare(catalog: Catalog) -> Compared:
    """Ask the Hub for each model's revision, and compare its files and whether it is gated.

    Once the Hub does not answer, what was not asked yet is not asked any more.

    Raises:
        Offline: asking is switched off.
        ConfigError: HF_ENDPOINT is no address.
    """
    hub.client()
    models = of_the_hub(catalog)
    questions = dict.fromkeys((model.entry.repo, model.entry.revision) for model in models)
    dead: list[Unreachable] = []
    lock = threading.Lock()

    def ask(question: tuple[str, str]) -> Repository | LlorchError:
        with lock:
            known = dead[:1]
        if known:
            return known[0]
        try:
            return _ask(*question)
        except Unreachable as error:
            # Of the Hub, not of this repository: those that are not asked any more have the same reason.
            reason = Unreachable(error.message.removeprefix(f"`{question[0]}` cannot be asked for: "), hint=error.hint)
            with lock:
                dead.append(reason)
            return reason
        except LlorchError as error:
            return error

    answers = dict(zip(questions, in_parallel(questions, ask, AT_ONCE), strict=True))

    def judge(model: Model) -> tuple[list[Problem], str]:
        try:
            return _judge(catalog, model, answers[model.entry.repo, model.entry.revision])
        except LlorchError as error:
            return [], error.message

    found = list(zip(models, in_parallel(models, judge, AT_ONCE), strict=True))
    return Compared(
        tuple(problem for _, (problems, _) in found for problem in problems),
        tuple((model.id, why) for model, (_, why) in found if why),
    )


def _ask(repo: str, revision: str | None = None) -> Repository:
    """Ask for a repository in bounded time: a server may begin to answer, and never end.

    Raises:
        LlorchError: there is none, or the Hub cannot be asked.
    """
    try:
        return in_time(lambda: ask_repository(repo, revision), PATIENCE)
    except TimeoutError:
        raise Unreachable(f"`{repo}` cannot be asked for: {hub.endpoint()} takes more than {PATIENCE:g} s") from None


def _judge(catalog: Catalog, model: Model, answer: Repository | LlorchError) -> tuple[list[Problem], str]:
    """Return what is not as a model's entry says, and why it could not be compared, if so.

    Raises:
        LlorchError: nothing could be compared.
    """
    if isinstance(answer, NotFound):
        return [_missing(catalog, model, answer)], ""
    if isinstance(answer, AccessDenied):
        now = _ask(model.entry.repo)  # what a gated one is like now, the Hub tells everybody
        if now.commit != model.entry.revision:
            return [*_terms(catalog, model, now)], answer.message
        answer = now
    if isinstance(answer, LlorchError):
        raise answer
    return [*_terms(catalog, model, answer), *_files(catalog, model, answer)], ""


def _missing(catalog: Catalog, model: Model, error: NotFound) -> Problem:
    """Say what is not there: the repository, or only the revision.

    Raises:
        LlorchError: that cannot be told now.
    """
    try:
        now = _ask(model.entry.repo)
    except NotFound:
        return _problem(catalog, model, ("repo",), error.message, error.hint)
    hint = f"its newest commit is {now.commit}; `llorch models pin {model.id} --revision REV` takes another"
    return _problem(catalog, model, ("revision",), error.message, hint)


def _terms(catalog: Catalog, model: Model, there: Repository) -> Iterator[Problem]:
    entry = model.entry
    if there.gated and not entry.gated:
        hint = f"accept its terms at {hub.endpoint()}/{entry.repo}, and write `gated = true`"
        yield _problem(catalog, model, ("gated",), f"`{entry.repo}` is gated on the Hub", hint, warn=True)
    if entry.gated and not there.gated:
        message = f"`{entry.repo}` is not gated on the Hub"
        yield _problem(catalog, model, ("gated",), message, "write `gated = false`", warn=True)


def _files(catalog: Catalog, model: Model, there: Repository) -> Iterator[Problem]:
    entry = model.entry
    for index, file in enumerate(entry.files):
        listed = there.files.get(file.path)
        if listed is None:
            near = nearest(file.path, [*there.files])
            message = f"`{entry.repo}` has no such file at `{entry.revision}`"
            hint = f"did you mean `{near}`?" if near else f"see {hub.endpoint()}/{entry.repo}/tree/{entry.revision}"
            yield _problem(catalog, model, ("files", index, "path"), message, hint)
        else:
            yield from _changes(catalog, model, index, file, complete(there, listed))


def _changes(catalog: Catalog, model: Model, index: int, file: File, listed: Listed) -> Iterator[Problem]:
    hint = f"`llorch models pin {model.id} --revision {model.entry.revision}` takes over what is there"
    for name in ("size", "sha256"):
        promised, found = getattr(file, name), getattr(listed, name)
        if promised is not None and found is not None and promised != found:
            yield _problem(catalog, model, ("files", index, name), f"on the Hub it is {found}", hint)


def _problem(
    catalog: Catalog, model: Model, key: Sequence[str | int], message: str, hint: str | None, *, warn: bool = False
) -> Problem:
    at = ("models", model.id, *key)
    return catalog.documents[model.id].problem(at, message, hint, "warn" if warn else "error")
