"""Words and scripts as login shells read them: each of those that machines here have."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from llorch.errors import LlorchError
from llorch.remote.command import RUN, SIGNAL, quote, script
from llorch.remote.streams import Request, new_mark
from tests.conftest import IN_CI
from tests.remote.conftest import Heard, reach_of

SHELLS = ("sh", "bash", "dash", "fish", "zsh")
PRINT = 'for word; do printf "%s\\0" "$word"; done'


def nasty_words() -> list[str]:
    """Return 200 words that shells would do something with, and bytes that are no text."""
    words = [
        "", " ", "  two  ", "'", "''", '"', "\\", "\\\\", "\\'", "'\\", "$HOME", "$(id)", "`id`", "${IFS}",
        "a\nb", "\n", "\t", "*", "?", "[a-z]*", "{a,b}", "~", "~root", "-n", "--", "-", "!", "!!", "a;b", "a|b",
        "a&b", "a&&b", ">x", "<x", "#x", "a#b", "=ls", "a=b", "%1", "^x", "(x)", ")", "}", "\r", "\x01",
        "\x1b[31m", "ü", "日本語", "😀", "\udcff\udcfe", "é\u0301", "\u202e", "$'x'", "'$(id)'", '"$(id)"', "a'b'c",
        'a"b"c', "\\n", "\\x41", "$$", "$?", "$@", "$#", "@", "a b'c\\d\"e$f`g", "end\\", "'start",
        "echo $(touch pwned)", "; touch pwned", "`touch pwned`", "& touch pwned",
    ]  # fmt: skip
    choose = random.Random(7)  # words that are the same in each run
    alphabet = "ab '\"\\$`\n\t*?[]{}~-!;|&<>#=%^()ü😀\udcff"
    return words + ["".join(choose.choices(alphabet, k=choose.randint(1, 12))) for _ in range(200 - len(words))]


def test_there_are_200_of_them() -> None:
    """The words are as many as they are said to be, and none is in a shell's way by a zero."""
    assert len(nasty_words()) == 200
    assert not any("\0" in word for word in nasty_words())


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_reads_words_as_they_are(shell: str, tmp_path: Path) -> None:
    """All words arrive, byte for byte, whatever shell reads the line, and none of them does anything."""
    if not shutil.which(shell):
        if IN_CI and shell != "zsh":
            pytest.fail(f"{shell} is not installed")
        pytest.skip(f"{shell} is not installed")
    words = nasty_words()
    line = script(PRINT, *words)
    done = subprocess.run([shell, "-c", line], capture_output=True, cwd=tmp_path, check=True)
    assert done.stdout.split(b"\0")[:-1] == [word.encode(errors="surrogateescape") for word in words]
    assert not done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("name", ["box", "tin"])
def test_words_reach_a_host_as_they_are(box: Path, name: str) -> None:
    """The same over a connection, by either way."""
    words = nasty_words()
    heard = Heard()
    assert heard.run(reach_of(box), name, Request(RUN, ("", "printf", r"%s\0", *words))).code == 0
    assert bytes(heard.out).split(b"\0")[:-1] == [word.encode(errors="surrogateescape") for word in words]


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("", "{home}"), ("~", "{home}"), ("~/a b", "{home}/a b"), ("{home}/ü", "{home}/ü"), ("~/$(touch pwned)", None)],
)
def test_a_script_begins_in_its_folder(tmp_path: Path, folder: str, expected: str | None) -> None:
    """A folder may be in the home, have any name, and is no code; one that is not there is said."""
    for name in ("a b", "ü"):
        (tmp_path / name).mkdir()
    line = script(RUN, "mark", folder.format(home=tmp_path), "pwd")
    done = subprocess.run(
        ["sh", "-c", line], capture_output=True, cwd=tmp_path, env={"HOME": str(tmp_path)}, text=True, check=False
    )
    if expected is None:
        assert (done.returncode, done.stdout) == (1, "mark no-folder 0\n")
        assert not (tmp_path / "pwned").exists()
        return
    first, second = done.stdout.splitlines()
    assert first.split()[:2] == ["mark", "ok"]
    assert second == expected.format(home=tmp_path)


def test_a_signal_reaches_a_group() -> None:
    """What is sent goes to all of a group, and to a process that leads none."""
    for session in (True, False):
        process = subprocess.Popen(["sleep", "600"], start_new_session=session)
        subprocess.run(["sh", "-c", script(SIGNAL, "TERM", str(process.pid))], check=True)
        assert process.wait() == -15


def test_plain_words_stay_as_they_are() -> None:
    """Commands can be read in logs."""
    assert quote("--features=cuda") == "'--features=cuda'"
    assert script("true", "a/b", "c d") == "exec sh -c true sh a/b 'c d'"


@pytest.mark.parametrize("name", ["box", "tin"])
def test_a_command_that_is_too_long(box: Path, name: str) -> None:
    """What a login shell can be given is given to it, and what it cannot is told, not tried."""
    room = (1 << 17) - len(script(RUN, new_mark(), "", "printf", "%s", "")) + len("''") - 1
    heard = Heard()
    assert heard.run(reach_of(box), name, Request(RUN, ("", "printf", "%s", "x" * room))).code == 0
    assert len(heard.out) == room
    with pytest.raises(LlorchError, match="it takes 131,072 bytes, and has to have less than 131,072"):
        heard.run(reach_of(box), name, Request(RUN, ("", "printf", "%s", "x" * (room + 1))))
