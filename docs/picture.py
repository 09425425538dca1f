"""Draw docs/terminal.svg: two real runs of llorch in a real terminal (tmux), as the README shows them.

`./run python docs/picture.py`
"""

import re
import shutil
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 96, 40
DONE = "picture-done"
COMMANDS = ("doit models:smollm2", "doit models:smollm2", "llorch models list")


def capture(folder: Path) -> str:
    """Return the screen, with its colours, after the commands have run in `folder`."""
    echo = "\n".join(f"printf '\\033[1m$ {command}\\033[0m\\n'; {command}" for command in COMMANDS)
    script = folder / "script"
    script.write_text(f"export PATH={Path(sys.executable).parent}:$PATH\nclear\n{echo}\ntmux wait-for -S {DONE}\ncat\n")
    tmux = ["tmux", "-L", "picture"]
    size = ["-x", str(COLUMNS), "-y", str(ROWS)]
    subprocess.run([*tmux, "new-session", "-d", *size, "-c", str(folder), f"bash {script}"], check=True)
    try:
        subprocess.run([*tmux, "wait-for", DONE], check=True, timeout=300)
        done = subprocess.run([*tmux, "capture-pane", "-e", "-p"], check=True, capture_output=True, text=True)
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)
    return done.stdout.rstrip()


def main() -> None:
    """Run the commands in a new workspace and write the picture."""
    if shutil.which("tmux") is None:
        sys.exit("tmux is not installed, and the picture is taken in it")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dodo.py").write_text("from llorch.dodo import *\n")
        screen = capture(folder)
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(screen))
    drawing = console.export_svg(title="llorch", unique_id="llorch")
    # The fonts of rich's template are on a server; the reader's own monospace serves as well.
    drawing = re.sub(r"@font-face \{.*?\}|<!--.*?-->", "", drawing, flags=re.DOTALL)
    Path(__file__).with_name("terminal.svg").write_text(re.sub(r"\n\s*\n", "\n", drawing))


if __name__ == "__main__":
    main()
