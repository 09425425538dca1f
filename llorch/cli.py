"""The command line: which commands there are, what is the same for all of them, and where every run ends.

A command's module is imported when the command is called; `table` is all that `--help` needs.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click

from llorch import __version__, ui
from llorch.errors import INTERRUPTED, LlorchError, of_system
from llorch.table import TABLES, TOP, Place

if TYPE_CHECKING:
    from llorch.workspace import Workspace


class Parsed(click.Command):
    """A command whose mistaken options are told with its own name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and say where a mistake was made: click does not for all."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise


class Command(Parsed):
    """A command with the options that all have, an example, and the workspace as its current folder.

    `local` says why it runs on this machine only, for those that do; the others take `--remote`. One that `looks`
    changes nothing, and leaves no log.
    """

    def __init__(self, *args: Any, example: str, local: str | None = None, looks: bool = False, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params += [*common_options(), remote_option(hidden=local is not None)]
        self.example = example
        self.local = local
        self.looks = looks

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example."""
        write_example(self.example, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Go to the workspace's root, then run, here or where `--remote` or LLORCH_REMOTE_HOST says."""
        workspace = enter_workspace()
        named = ctx.find_root().meta.get("remote")
        if named is not None and not named.strip():
            raise click.UsageError("`--remote` names no host", ctx)
        if self.local is not None and named:
            raise click.UsageError(f"`{ctx.command_path}` takes no `--remote`: {self.local}", ctx)
        if not self.looks:
            from llorch.log import begin

            begin(workspace, ["llorch", *ctx.find_root().obj])
        hosts = named or ("" if "LLORCH_FORWARDED" in os.environ else os.environ.get("LLORCH_REMOTE_HOST"))
        from llorch.signals import terminated  # `--help` does without

        with terminated():
            try:
                if hosts and self.local is None:
                    from llorch.remote.cli import forward_command

                    return forward_command(hosts, ctx.find_root().obj)
                return super().invoke(ctx)
            except (KeyboardInterrupt, SystemExit):
                from llorch import shell

                shell.stop()
                raise


class Table(Parsed, click.Group):
    """A group whose commands are in a table and are imported when called."""

    def __init__(
        self, *args: Any, table: Mapping[str, Place], example: str, local: str | None = None, **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self.table = table
        self.params += [*common_options(), remote_option(hidden=local is not None)]
        self.example = example

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        place = self.table.get(cmd_name)
        if place is None:
            return None
        command: click.Command = getattr(import_module(place.module), place.name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may be meant."""
        if args and args[0] not in self.table and not args[0].startswith("-"):
            from llorch import meant

            lines = meant.commands(ctx.command_path.partition(" ")[2], args, TABLES)
            also = "; did you mean " + " or ".join(f"`{line}`" for line in lines) + "?" if lines else ""
            raise click.UsageError(f"there is no command `{args[0]}`{also}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in self.table.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example."""
        write_example(self.example, formatter)


def write_example(example: str, formatter: click.HelpFormatter) -> None:
    """Write the lines of an example at the end of a help page, each whole, to be copied."""
    with formatter.section("Example"):
        for line in example.splitlines():
            formatter.write(f"{' ' * formatter.current_indent}{line}\n")


def common_options() -> list[click.Parameter]:
    """Return the options that every command takes, at any place of the line."""

    def switch(name: str, value: bool = True) -> Callable[[click.Context, click.Parameter, bool], None]:
        def take(ctx: click.Context, param: click.Parameter, given: bool) -> None:
            if given:
                setattr(ui.mode, name, value)

        return take

    def directory(ctx: click.Context, param: click.Parameter, given: str | None) -> None:
        if given is not None:
            ctx.find_root().meta["directory"] = given

    def flag(*names: str, help: str, callback: Any) -> click.Option:
        return click.Option(names, is_flag=True, expose_value=False, help=help, callback=callback)

    return [
        flag("--json", help="Write one JSON document to stdout.", callback=switch("json")),
        flag("--no-color", help="Write without colours.", callback=switch("color", False)),
        flag("-q", "--quiet", help="Say nothing but errors.", callback=switch("quiet")),
        flag("-v", "--verbose", help="Name also what is up to date.", callback=switch("verbose")),
        click.Option(
            ["-C", "--directory"],
            metavar="DIR",
            expose_value=False,
            callback=directory,
            help="Work in the workspace of DIR.",
        ),
    ]


def remote_option(*, hidden: bool) -> click.Parameter:
    """Return the option that has a command run on other machines, hidden where it is refused."""

    def take(ctx: click.Context, param: click.Parameter, given: str | None) -> None:
        if given is not None:
            ctx.find_root().meta["remote"] = given

    help = "Run it on a host of hosts.toml, or on several: NAME,NAME, @TAG or all (LLORCH_REMOTE_HOST)."
    return click.Option(["--remote"], metavar="HOST", expose_value=False, callback=take, help=help, hidden=hidden)


def yes_option(command: Any) -> Any:
    """Add `--yes`, for commands that destroy something."""

    def take(ctx: click.Context, param: click.Parameter, given: bool) -> None:
        ui.mode.yes = ui.mode.yes or given

    help = "Do not ask."
    return click.option("-y", "--yes", is_flag=True, expose_value=False, callback=take, help=help)(command)


def dry_run_option(command: Any) -> Any:
    """Add `--dry-run`, for commands that change something."""
    return _switch_option("--dry-run", "LLORCH_DRY_RUN", "Say what would be done, and do nothing")(command)


def no_cache_option(command: Any) -> Any:
    """Add `--no-cache`, for commands that make something."""
    return _switch_option("--no-cache", "LLORCH_NO_CACHE", "Restore nothing from a store, and publish nothing")(command)


def _switch_option(flag: str, variable: str, help: str) -> Any:
    """Return the option that sets a switch of the environment."""

    def take(ctx: click.Context, param: click.Parameter, given: bool) -> None:
        if given:
            os.environ[variable] = "1"

    return click.option(flag, is_flag=True, expose_value=False, callback=take, help=f"{help} ({variable}).")


def enter_workspace() -> "Workspace":
    """Make the workspace's root the current folder, say so where none is declared, and return it."""
    from pathlib import Path
    from shlex import quote

    from llorch.workspace import find_workspace, repository_of

    meta = click.get_current_context().find_root().meta
    named = meta.get("directory")
    meta["LLORCH_REPO_ROOT"] = os.environ.get("LLORCH_REPO_ROOT")
    workspace = find_workspace(Path(named) if named is not None else None)
    if not workspace.declared:
        repository = repository_of(str(workspace.root))
        above = f"; `-C {quote(repository)}` works in the whole repository" if repository != str(workspace.root) else ""
        ui.tell(f"no llorch.toml, catalog.toml or dodo.py here or above: working in {workspace.root}{above}")
    os.environ["LLORCH_REPO_ROOT"] = str(workspace.root)
    os.chdir(workspace.root)
    return workspace


@click.group(
    cls=Table,
    table=TOP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    example="llorch models download smollm2\nllorch models list --json",
)
@click.version_option(__version__, message="llorch %(version)s")
def root() -> None:
    """Have models on disk and binaries built, declared in TOML, made once, verified always."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit code, which is the end of its log if it has one."""
    code: object = 1
    try:
        code = _run_to_the_end(arguments)
        return code
    except SystemExit as error:
        code = error.code
        raise
    except Exception as error:
        if ui.log is not None:
            ui.log.bug(error)
        raise
    finally:
        if ui.log is not None:
            ui.log.end(code if isinstance(code, int) else 1)


def _run_to_the_end(arguments: list[str]) -> int:
    """Run a command line, and see to what it writes, up to the last byte."""
    if not _have_streams():
        return 1
    stdout = sys.stdout
    ends = arguments.index("--") if "--" in arguments else len(arguments)
    ui.mode.json = "--json" in arguments[:ends]  # known before the rest is, so that a wrong rest is told in JSON too
    try:
        if isinstance(stdout, TextIOWrapper):
            stdout.reconfigure(errors="surrogateescape")  # a command that is printed has paths as the bytes they are
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except (BrokenPipeError, SystemExit) as error:
        # Whoever read our output has gone, as `head` does; click wraps sys.stdout then, and exits with 1.
        if isinstance(error, SystemExit) and sys.stdout is stdout:
            raise
        _let_go_of(stdout)
        return 128 + 13
    except OSError as error:
        known = of_system(error)
        if known is None:
            raise
        ui.mode.json = False  # no document can be written either
        ui.show_error(known)
        _let_go_of(stdout)
        return known.exit_code


def _have_streams() -> bool:
    """Make sure that there is something to write to before anything is done; a closed stdin has nothing to read."""
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # a file that is opened later must not get the number of a stream that is closed
    os.close(nowhere)
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    if sys.stdout is not None:
        return True
    ui.show_error(LlorchError("stdout is closed", hint="`>/dev/null` throws away what llorch writes"))
    return False


def _let_go_of(stdout: IO[str]) -> None:
    """Have the interpreter not try to write the rest."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())


def _run(arguments: list[str]) -> int:
    try:
        code = int(root.main(arguments, prog_name="llorch", standalone_mode=False, obj=tuple(arguments)) or 0)
        sys.stdout.flush()
        return code
    except LlorchError as error:
        ui.show_error(error)
        return error.exit_code
    except click.ClickException as error:
        return _show_usage_error(error)
    except (KeyboardInterrupt, click.Abort):
        if ui.mode.json:
            _emit_interrupted()
        else:
            ui.print_err("interrupted")
        return INTERRUPTED
    except SystemExit as end:
        from llorch.signals import Ended

        if isinstance(end, Ended) and ui.mode.json:  # people are told by their shell
            _emit_interrupted()
        raise
    except OSError as error:
        # What the disk refuses is no mistake of ours, and may come up at any place that opens a file.
        known = of_system(error)
        if known is None or not _takes_more(sys.stdout):
            raise
        ui.show_error(known)
        return known.exit_code


def _emit_interrupted() -> None:
    ui.emit_json({"error": {"code": "interrupted", "message": "interrupted", "hint": None}})


def _takes_more(stdout: IO[str]) -> bool:
    """Tell whether what was written could be; what could not is still held then."""
    try:
        stdout.flush()
    except OSError:
        return False
    return True


def _show_usage_error(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "llorch"
    # A group alone; click before 8.2 shows the help itself and has no such error.
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())) and not ui.mode.json:
        ui.print_err(error.format_message())
        return error.exit_code
    hint = f"`{path} --help` shows what it takes"
    if isinstance(error, click.NoSuchOption):
        from llorch import meant

        hint = meant.option(path.partition(" ")[2], error.option_name) or hint
    message = in_our_words(error.format_message())
    if ui.log is not None:
        ui.log.event("error", "error", code="usage", text=message, hint=hint)
    if ui.mode.json:
        ui.emit_json({"error": {"code": "usage", "message": message, "hint": hint}})
    else:
        ui.print_err(ui.style("error:", "bad", sys.stderr) + f" {ui.harmless(message)}\n\nhint: {ui.harmless(hint)}")
    return error.exit_code


def in_our_words(message: str) -> str:
    """Return a message of click's as ours are written; one of ours, which begins with no capital, as it is.

    >>> in_our_words("Missing argument 'ID'.")
    'missing argument `ID`'
    >>> in_our_words("Invalid value for 'ID': it isn't there.")
    "invalid value for `ID`: it isn't there"
    """
    if not message[:1].isupper():
        return message
    text = re.sub(r"(?<!\w)'([^']*)'(?!\w)", r"`\1`", message).replace("a valid integer range", "a whole number")
    text = text.replace("a valid integer", "a whole number")
    return text[0].lower() + text[1:].removesuffix(".")
