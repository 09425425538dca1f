"""`llorch models add`: what writes an entry for a model of the Hub into the catalog."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

import click

from llorch import ui
from llorch.cli import Command, dry_run_option
from llorch.errors import Refused, Unsupported
from llorch.models.catalog import Outtype, check_id, check_revision, load_models
from llorch.models.ggml import QUANTIZED, check_quantize_type
from llorch.session import session
from llorch.switches import is_on
from llorch.text import shown

if TYPE_CHECKING:
    from llorch.models.address import Named
    from llorch.models.edit import Draft, Raw
    from llorch.models.news import Listed, Repository
    from llorch.models.preview import Preview

OUTTYPES = get_args(Outtype)


class _Type(click.Choice[str]):
    """A type to quantize to; of one that will not do it is said why."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(value).upper()
        complaint = check_quantize_type(name)
        if complaint is not None:
            self.fail(f"{complaint} (there are {', '.join(self.choices)})", param, ctx)
        return name


@click.command(
    cls=Command,
    example="llorch models add TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF:tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf\n"
    "llorch models add Qwen/Qwen2.5-0.5B-Instruct-GGUF:qwen2.5-0.5b-instruct-q4_k_m.gguf --id qwen-small --dry-run\n"
    "llorch models add HuggingFaceTB/SmolLM2-135M-Instruct --quantize Q4_K_M",
)
@click.argument("what", metavar="REPO[:FILE]")
@click.option("--id", help="What the model is to be called; made from the file's name unless given.")
@click.option("--revision", metavar="REV", default="", help="Take this commit, branch or tag.")
@click.option(
    "--outtype",
    type=click.Choice(OUTTYPES, case_sensitive=False),
    metavar="TYPE",
    help=f"Have the checkpoint converted to a GGUF of this type: {', '.join(OUTTYPES)}.",
)
@click.option(
    "--quantize",
    type=_Type(QUANTIZED),
    metavar="TYPE",
    help="Have the checkpoint converted, and quantized to this type, such as Q4_K_M.",
)
@dry_run_option
def add(what: str, id: str | None, revision: str, outtype: Outtype | None, quantize: str | None) -> None:
    """Write a pinned entry for a model of the Hub into the workspace's catalog, which is made if there is none.

    The address of the repository's page, or of the file's, will do as well. FILE can be left out if the repository has
    only one GGUF. Of a split one, all files are taken.

    Of a repository without a GGUF, or with --outtype or --quantize, the checkpoint is taken, to be converted. Its small
    files are read first.
    """
    from llorch.models import edit, news

    run = session()
    named = _named(what)
    revision = revision or named.revision
    complaints = [check_revision(revision) if revision else None, check_id(id) if id is not None else None]
    if quantize is not None and outtype in ("q8_0", quantize.lower()):
        complaints.append(f"`--quantize {quantize}` needs another `--outtype`, of 16 or 32 bits, than {outtype}")
    for complaint in complaints:
        if complaint is not None:
            raise click.UsageError(complaint, click.get_current_context())
    known = load_models(run.workspace, run.settings)
    _refuse_known(id, known)
    there = news.ask_repository(named.repo, revision or None)
    files, steps = _choose(there, named, outtype, quantize)
    main = str([files[0].path, *(step["to"] for step in steps.values())][-1])
    id = id or news.slug(main)
    if check_id(id) is not None:
        raise Refused(f"no id can be made of `{main}`", hint="give one with `--id`")
    _refuse_known(id, known)
    entry = _new_entry(there, main, files, steps)
    dry = is_on("LLORCH_DRY_RUN")

    def write(draft: "Draft") -> None:
        _refuse_known(id, draft.entries)
        draft.add(id, entry)

    name = edit.edit_catalog(run.workspace, run.settings, write, dry_run=dry)
    if ui.mode.json:
        ui.emit_json({"dry_run": dry, "entry": {"id": id, **entry}, "catalog": name})
        return
    if dry:
        ui.emit(edit.render_entry(id, entry).rstrip())
        return
    ui.emit(f"added {id} to {name}")
    ui.tell(f"`llorch models download {id}` fetches it" + (" and converts it" if steps else ""))


def _named(what: str) -> "Named":
    from llorch.models.address import parse_named

    try:
        return parse_named(what)
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from None


def _refuse_known(id: str | None, known: Any) -> None:
    if id in known:
        raise Refused(f"there is a model `{id}` already", hint="give the new one another id with `--id`")


def _choose(
    there: "Repository", named: "Named", outtype: Outtype | None, quantize: str | None
) -> "tuple[Sequence[Listed], dict[str, Raw]]":
    """Return the files to take, and what is to be made of them: nothing of a GGUF; and tell of them."""
    from llorch.models import news
    from llorch.models.preview import is_wanted

    if not is_wanted(there, named.file, converted=outtype is not None or quantize is not None):
        files = news.choose(there, named.file)
        _tell_of(there, files)
        return files, {}
    if named.folder:
        raise Unsupported(
            f"`{shown(named.folder)}` is a folder of `{there.repo}`, and what is converted is at the top",
            hint=f"`llorch models add {there.repo}` takes what is there",
        )
    found = _preview(there, named.file)
    _tell_of(there, found.files)
    ui.tell(f"converted:  by {'llama.cpp: ' + found.reason if found.reason else 'llorch itself'}")
    stem = there.repo.rpartition("/")[2]
    type = outtype or "auto"
    to = f"{stem}.gguf" if type == "auto" else f"{stem}-{type.upper()}.gguf"
    steps: dict[str, Raw] = {"convert": {"to": to, "outtype": type, "engine": found.engine}}
    if quantize is not None:
        steps["quantize"] = {"to": f"{stem}-{quantize}.gguf", "type": quantize}
    return found.files, steps


def _preview(there: "Repository", file: str) -> "Preview":
    import tempfile
    from pathlib import Path

    from llorch.models.preview import preview
    from llorch.watch import Watch

    run = session()
    # The folder goes last: what still writes into it is waited for when this is interrupted.
    with (
        tempfile.TemporaryDirectory(prefix="llorch-") as folder,
        run.working(),
        Watch(run.board, "models:add", run.cancelled) as progress,
    ):
        return preview(there, file, Path(folder), progress)


def _new_entry(there: "Repository", main: str, files: "Sequence[Listed]", steps: "dict[str, Raw]") -> "Raw":
    entry: dict[str, Any] = {
        "name": re.sub(r"\.gguf\Z", "", main.rpartition("/")[2], flags=re.IGNORECASE),
        "repo": there.repo,
        "revision": there.commit,
        "files": [
            {
                key: value
                for key, value in (("path", file.path), ("size", file.size), ("sha256", file.sha256))
                if value is not None
            }
            for file in files
        ],
    }
    return {
        **entry,
        **({"license": there.license} if there.license else {}),
        **({"gated": True} if there.gated else {}),
        **steps,
    }


def _tell_of(there: "Repository", files: "Sequence[Listed]") -> None:
    size = sum(file.size or 0 for file in files)
    ui.tell(f"repository: {there.repo} at {there.commit}")
    ui.tell(f"license:    {there.license or 'not named'}")
    ui.tell(f"gated:      {'yes, its terms have to be accepted before it can be fetched' if there.gated else 'no'}")
    ui.tell(f"size:       {ui.bytes_text(size)}, {len(files)} file{'s' if len(files) > 1 else ''}")
    for file in files:
        if file.sha256 is None:
            ui.warn(f"{file.path} has no sha256 on the Hub: after the download, `llorch models pin` records it")
