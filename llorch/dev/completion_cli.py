"""`llorch dev completion`: what makes a shell complete llorch's command lines."""

import click

from llorch import ui
from llorch.cli import Command
from llorch.dev.shells import SHELLS, script


@click.command(
    cls=Command,
    looks=True,
    local="a shell completes for the llorch beside it",
    example='llorch dev completion fish > ~/.config/fish/completions/llorch.fish\neval "$(llorch dev completion bash)"',
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Write the script that has a shell complete llorch: commands, options, and names of the workspace.

    bash: add `eval "$(llorch dev completion bash)"` to ~/.bashrc. zsh: `eval "$(llorch dev completion zsh)"` to
    ~/.zshrc, after compinit. fish: write it to ~/.config/fish/completions/llorch.fish. A newer llorch needs no newer
    script.
    """
    ui.emit(script(shell).rstrip("\n"))
