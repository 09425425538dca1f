"""`llorch models check`."""

import sys
from typing import TYPE_CHECKING

import click

from llorch import ui
from llorch.cli import Command
from llorch.models.cli import choose
from llorch.session import session
from llorch.text import shown

if TYPE_CHECKING:
    from llorch.models.check import Report

PROMPT_LIMIT = 4096
"""Bytes of a prompt: the context has room for as many tokens."""


def _prompt(ctx: click.Context, param: click.Parameter, text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise click.BadParameter("is not text in the terminal's encoding", ctx, param) from None
    if not 0 < size <= PROMPT_LIMIT:
        raise click.BadParameter(f"must have 1 to {PROMPT_LIMIT:,} bytes, and has {size:,}", ctx, param)
    return text


@click.command(
    cls=Command,
    example='llorch models check smollm2\nllorch models check smollm2 --prompt "Once upon a time" --tokens 40 --json',
)
@click.argument("id", metavar="ID")
@click.option(
    "--prompt", metavar="TEXT", default="The capital of France is", show_default=True, callback=_prompt,
    help="What the model is to go on with.",
)  # fmt: skip
@click.option(
    "--tokens",
    metavar="NUMBER",
    type=click.IntRange(1, 1000),
    default=16,
    show_default=True,
    help="How many to generate.",
)
# The catalog's biggest file has 13.6 GB: a disk that reads 100 MB/s takes 140 s, and 17 passes over it as long again.
@click.option(
    "--timeout", metavar="SECONDS", type=click.IntRange(1, 86400), default=300, show_default=True,
    help="How long it may take in all.",
)  # fmt: skip
def check(id: str, prompt: str, tokens: int, timeout: int) -> int:
    """Load a model's GGUF file in llama.cpp and generate a few tokens, always the likeliest one.

    Exits with 1 if it does not load, or generates what are no probabilities. Needs the extra llorch[check].
    """
    from llorch.models import check as rules

    run = session()
    (model,) = choose((id,), every=False)
    path = rules.find_gguf(model, run.workspace)
    try:
        with run.board.start("check") as line:
            line.say(f"llama.cpp runs {path.rsplit('/', 1)[-1]}")
            report = rules.check(run.workspace.path(path), prompt, tokens, timeout)
    finally:
        run.board.close()
    if ui.mode.json:
        ui.emit_json(
            {
                "ok": report.ok,
                "model": model.id,
                "path": path,
                "text": report.text,
                "tokens": report.tokens,
                "seconds": round(report.seconds, 3),
                "detail": report.detail,
            }
        )
        return 0 if report.ok else 1
    _show(path, prompt, report)
    return 0 if report.ok else 1


def _show(path: str, prompt: str, report: "Report") -> None:
    word = ui.style("ok    ", "good") if report.ok else ui.style("failed", "bad")
    rate = f"{report.tokens} tokens, {ui.seconds_text(report.seconds)}"
    ui.emit(f"{word}  {path}: " + "; ".join(part for part in (rate if report.tokens else "", report.detail) if part))
    if report.tokens:
        ui.emit(ui.style(_plain(prompt), "dim") + _plain(report.text))


def _plain(text: str) -> str:
    """Return a text as it is, for a terminal without what that would obey."""
    if not ui.is_terminal(sys.stdout):
        return text
    return "\n".join(map(shown, text.split("\n")))
