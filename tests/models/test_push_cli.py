"""Models copied between this machine and a real sshd, by the commands."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import BIN, Run, in_terminal, program, sha256, write_catalog
from tests.models.conftest import BIG
from tests.remote.far import Box, in_mounts

FILES = {"a.bin": os.urandom(100_000) * 20, "x/b.txt": b"small"}
Llorch = Callable[..., Run]


def declare(here: Path, box: Box, *, pinned: bool = True, there: bool = True, transport: str = "paramiko") -> None:
    """Declare the model `m` here and there, and the box as a host; with llorch if `there`."""
    write_catalog(here, {"m": FILES}, pinned=pinned)
    (here / "hosts.toml").write_text("version = 1\n" + box.entry("box", llorch=there, transport=transport))
    (box.repository / "catalog.toml").write_text((here / "catalog.toml").read_text())


def have(llorch: Llorch) -> None:
    """Have the model here."""
    assert llorch("models", "download", "m").code == 0


def contents(box: Box) -> dict[str, bytes]:
    """Return the model's files on the box, with the receipt's name only."""
    return {path: b"" if path == "m/receipt.json" else data for path, data in box.files().items()}


WHOLE = {**{f"m/{path}": data for path, data in FILES.items()}, "m/receipt.json": b""}


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
def test_a_pushed_model_is_up_to_date_there(
    workspace: Path, box: Box, llorch: Llorch, pinned: bool, transport: str
) -> None:
    """What was pushed is known to the llorch there, which needs no source; pushing again sends nothing."""
    declare(workspace, box, pinned=pinned, transport=transport)
    have(llorch)
    run = llorch("models", "push", "m", "--to", "box", "--json")
    assert (run.code, contents(box)) == (0, WHOLE)
    (task,) = run.json["tasks"]
    assert (task["name"], task["outcome"], task["error"]) == ("push:m@box", "done", None)
    assert task["targets"][0] == {
        "path": ".test-models/m/a.bin",
        "size": len(FILES["a.bin"]),
        "sha256": sha256(FILES["a.bin"]),
    }
    listed = program("llorch", "models", "list", "--json", cwd=box.repository)
    assert [model["state"] for model in listed.json["models"]] == ["ok"]
    made = program("llorch", "models", "download", "m", "--json", cwd=box.repository)
    assert {task["outcome"] for task in made.json["tasks"]} == {"up-to-date"}
    again = llorch("models", "push", "m", "--to", "box")
    assert again.err.splitlines()[-1] == "push:m@box  up to date"


def test_a_pulled_model_is_up_to_date_here(workspace: Path, box: Box, llorch: Llorch) -> None:
    """What was pulled is known here, with a receipt, and pulling again does nothing."""
    declare(workspace, box, pinned=False, there=False)
    have(llorch)
    assert llorch("models", "push", "m", "--to", "box").code == 0
    assert llorch("models", "delete", "m", "--yes").code == 0
    (workspace / "sources").rename(workspace / "gone")
    dry = llorch("models", "pull", "m", "--from", "box", "--dry-run")
    assert "would bring 2.0 MB, 2 of 2 files" in dry.err
    assert not (workspace / ".test-models/m").exists()
    run = llorch("models", "pull", "m", "--from", "box", "--json")
    assert [(task["name"], task["outcome"]) for task in run.json["tasks"]] == [("pull:m@box", "done")]
    assert run.json["tasks"][0]["targets"][0]["sha256"] == sha256(FILES["a.bin"])
    assert (workspace / ".test-models/m/a.bin").read_bytes() == FILES["a.bin"]
    assert [model["state"] for model in llorch("models", "list", "--json").json["models"]] == ["ok"]
    assert llorch("models", "download", "m").err.endswith("nothing to do: models:m is up to date\n")
    assert llorch("models", "pull", "m", "--from", "box").err == "pull:m@box  up to date\n"
    box.repository.rename(box.repository.with_name("gone"))
    run = llorch("models", "pull", "m", "--from", "box")
    assert (run.code, run.err.count("error: ")) == (3, 1)


def test_what_was_converted_goes_along(workspace: Path, box: Box, llorch: Llorch) -> None:
    """Sources and what was made of them go there and come back, and are not made again."""
    (workspace / "catalog.toml").write_text('extends = "shipped"\n')
    (box.repository / "catalog.toml").write_text('extends = "shipped"\n')
    (workspace / "hosts.toml").write_text(box.entry("box", llorch=True))
    assert llorch("models", "download", "tiny-gpt2").code == 0
    assert llorch("models", "push", "tiny-gpt2", "--to", "box").code == 0
    made = program("llorch", "models", "download", "tiny-gpt2", "--json", cwd=box.repository)
    assert {task["outcome"] for task in made.json["tasks"]} == {"up-to-date"}
    assert llorch("models", "delete", "tiny-gpt2", "--yes").code == 0
    assert llorch("models", "pull", "tiny-gpt2", "--from", "box").code == 0
    assert llorch("models", "download", "tiny-gpt2").err.endswith("is up to date\n")


@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
def test_a_push_that_is_interrupted_while_nothing_moves(
    workspace: Path, box: Box, llorch: Llorch, transport: str
) -> None:
    """Nothing is left at this end, and nothing is said of a connection that is broken thereby."""
    declare(workspace, box, there=False, transport=transport)
    have(llorch)
    begun = box.repository.parent / "begun"
    os.mkfifo(begun)
    box.program("cat", f'echo begun >"{begun}"; exec sleep 60')
    command = [str(BIN / "llorch"), "models", "push", "m", "--to", "box"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, process_group=0) as process:
        assert process.stderr is not None
        begun.read_text()
        with box.sshd.held():
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            with pytest.raises(ProcessLookupError):
                os.killpg(process.pid, 0)
        assert b"error" not in process.stderr.read()


def test_a_push_that_was_killed_is_gone_on_with(workspace: Path, box: Box, llorch: Llorch) -> None:
    """After kill -9 half way the part has what came; the next push sends the rest, and all is verified."""
    declare(workspace, box)
    have(llorch)
    half = box.repository.parent / "half"
    os.mkfifo(half)
    ended = box.stops_after(500_000, f'echo >"{half}"')
    command = [str(BIN / "llorch"), "models", "push", "m", "--to", "box"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    half.read_text()
    process.kill()
    process.wait()
    assert ended.read_text() == "ended\n"
    assert box.files() == {"m/a.bin.part": FILES["a.bin"][:500_000]}
    box.before("")
    assert "would send 1.5 MB, 2 of 2 files" in llorch("models", "push", "m", "--to", "box", "--dry-run").err
    assert llorch("models", "push", "m", "--to", "box").code == 0
    assert contents(box) == WHOLE


def test_sigterm_ends_it_and_keeps_the_part(workspace: Path, box: Box, llorch: Llorch) -> None:
    """A push that is told to end does so with 143, and what came is kept."""
    declare(workspace, box, there=False)
    have(llorch)
    half = box.repository.parent / "half"
    os.mkfifo(half)
    ended = box.stops_after(500_000, f'echo >"{half}"')
    process = subprocess.Popen([str(BIN / "llorch"), "models", "push", "m", "--to", "box"], stderr=subprocess.DEVNULL)
    half.read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert ended.read_text() == "ended\n"
    assert [*box.files()] == ["m/a.bin.part"]


@pytest.mark.parametrize("there", [True, False])
def test_a_wrong_part_there_is_dropped(workspace: Path, box: Box, llorch: Llorch, there: bool) -> None:
    """A part and a file with wrong bytes do no harm: the right ones are sent from the beginning."""
    declare(workspace, box, there=there)
    have(llorch)
    box.models.joinpath("m").mkdir(parents=True)
    (box.models / "m/a.bin.part").write_bytes(b"wrong")
    (box.models / "m/a.bin").write_bytes(bytes(len(FILES["a.bin"])))
    assert llorch("models", "push", "m", "--to", "box").code == 0
    assert contents(box) == WHOLE


def test_a_wrong_part_here_is_dropped(workspace: Path, box: Box, llorch: Llorch) -> None:
    """A part that is wrong, and one that is too long, are fetched from their beginning; one that is right goes on."""
    declare(workspace, box)
    have(llorch)
    assert llorch("models", "push", "m", "--to", "box").code == 0
    part = workspace / ".test-models/m/a.bin.part"
    for wrong, word in ((b"wrong", "2.0 MB"), (bytes(3_000_000), ""), (FILES["a.bin"][:500_000], "1.5 MB")):
        assert llorch("models", "delete", "m", "--yes").code == 0
        part.parent.mkdir(parents=True)
        part.write_bytes(wrong)
        run = llorch("models", "pull", "m", "--from", "box")
        assert run.code == 0
        assert word in run.err
        assert part.with_suffix("").read_bytes() == FILES["a.bin"]


def test_wrong_bytes_there_are_not_taken(workspace: Path, box: Box, llorch: Llorch) -> None:
    """A file there that is not what the catalog here promises gets no name here, and the error is one."""
    declare(workspace, box, there=False)
    have(llorch)
    assert llorch("models", "push", "m", "--to", "box").code == 0
    assert llorch("models", "delete", "m", "--yes").code == 0
    (box.models / "m/a.bin").write_bytes(bytes(len(FILES["a.bin"])))
    run = llorch("models", "pull", "m", "--from", "box")
    assert (run.code, run.err.count("error: ")) == (6, 1)
    assert not (workspace / ".test-models/m/a.bin").exists()


def test_what_llorch_there_refuses(workspace: Path, box: Box, llorch: Llorch) -> None:
    """A file that the catalog there promises otherwise gets no name there."""
    declare(workspace, box)
    have(llorch)
    catalog = box.repository / "catalog.toml"
    catalog.write_text(catalog.read_text().replace(sha256(FILES["a.bin"]), "0" * 64))
    run = llorch("models", "push", "m", "--to", "box")
    assert (run.code, run.err.count("error: ")) == (6, 1)
    assert "as the catalog says" in run.err
    assert "m/a.bin" not in box.files()


def test_files_that_are_there_are_told_to_llorch(workspace: Path, box: Box, llorch: Llorch) -> None:
    """Files that somebody has copied there are not sent, and the llorch there learns of them."""
    declare(workspace, box)
    have(llorch)
    (box.models / "m/x").mkdir(parents=True)
    for path, data in FILES.items():
        (box.models / "m" / path).write_bytes(data)
    run = llorch("models", "push", "m", "--to", "box")
    assert "done        the receipt" in run.err
    listed = program("llorch", "models", "list", "--json", cwd=box.repository)
    assert [model["state"] for model in listed.json["models"]] == ["ok"]


def test_hosts_do_not_hold_each_other_up(workspace: Path, box: Box, llorch: Llorch) -> None:
    """Of several hosts each gets the model; what is wrong with one is told, and gives the exit code."""
    declare(workspace, box, there=False)
    have(llorch)
    hosts = workspace / "hosts.toml"
    hosts.write_text(hosts.read_text() + '[hosts.bad]\nhost = "127.0.0.1"\nport = 1\n')
    run = llorch("models", "push", "m", "--to", "bad,box", "--json")
    first, second = run.json["tasks"]
    assert (run.code, first["error"]["code"], second["outcome"]) == (7, "connection-failed", "done")
    assert contents(box) == WHOLE
    run = llorch("models", "push", "m", "--to", "all", "-q")
    assert (run.code, run.err.count("error: ")) == (7, 1)


def test_there_is_no_room(workspace: Path, box: Box, llorch: Llorch) -> None:
    """What does not fit there is not begun, and the message has both numbers."""
    declare(workspace, box, there=False)
    have(llorch)
    box.models.mkdir()
    box.before(in_mounts(f'mount -t tmpfs -o size=1m tmpfs "{box.models}"'))
    run = llorch("models", "push", "m", "--to", "box")
    assert (run.code, run.err.count("error: ")) == (1, 1)
    assert "`m` needs 2,000," in run.err
    assert "`box` has 1,048,576 left" in run.err


def test_nothing_wrong_is_pushed(workspace: Path, box: Box, llorch: Llorch) -> None:
    """A model that is not verified here, a host that is none, and hosts to pull from are refused before anything."""
    declare(workspace, box)
    assert llorch("models", "push", "m", "--to", "box").code == 8
    assert llorch("models", "pull", "m", "--from", "all").code == 2
    assert llorch("models", "pull", "m", "--from", "$(x)").code == 3
    assert llorch("models", "pull", "$(x)", "--from", "box").code == 3
    assert llorch("models", "push", "m", "--to", "box", "--remote", "box").code == 2


def test_a_llorch_that_says_no_folder(workspace: Path, box: Box, llorch: Llorch) -> None:
    """A document without a model folder is refused."""
    from llorch import __version__

    declare(workspace, box, there=False)
    have(llorch)
    own = box.repository / ".venv/bin/llorch"
    own.parent.mkdir(parents=True)
    for folder in ("3", '"a\\nb"', '""'):
        own.write_text(
            f"#!/bin/sh\n[ $1 = --version ] && echo llorch {__version__} || printf %s '{{\"folder\": {folder}}}'\n"
        )
        own.chmod(0o755)
        run = llorch("models", "push", "m", "--to", "box")
        assert (run.code, run.err.count("error: ")) == (1, 1)
        assert "does not say where its models are" in run.err


def test_no_secret_goes_along(workspace: Path, box: Box, llorch: Llorch) -> None:
    """A token of this machine is in no command, variable or file there."""
    declare(workspace, box, there=False)
    have(llorch)
    seen = box.repository.parent / "seen"
    box.before(f'{{ env; echo "$SSH_ORIGINAL_COMMAND"; }} >>"{seen}"')
    assert llorch("models", "push", "m", "--to", "box", env={"HF_TOKEN": "hf_secret"}).code == 0
    assert "hf_secret" not in seen.read_text()
    assert b"hf_secret" not in b"".join(box.files().values())


def test_bars_are_drawn(workspace: Path, box: Box, llorch: Llorch) -> None:
    """On a terminal a push has a bar, and ends with a line."""
    declare(workspace, box, there=False)
    have(llorch)
    run = in_terminal(str(BIN / "llorch"), "models", "push", "m", "--to", "box")
    assert run.code == 0
    assert "\x1b[" in run.out
    assert "2.0 MB, 2 of 2 files" in run.out


def test_land_by_hand(workspace: Path, llorch: Llorch) -> None:
    """`land` names a whole part, and says where it is."""
    write_catalog(workspace, {"m": {"a.gguf": BIG}})
    part = workspace / ".test-models/m/a.gguf.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(BIG)
    run = llorch("models", "land", "m", "a.gguf", str(len(BIG)), sha256(BIG), "--json")
    assert (run.code, run.json["path"]) == (0, ".test-models/m/a.gguf")
    assert llorch("models", "land", "m", "a.gguf", str(len(BIG)), sha256(BIG)).out == ""
    assert not part.exists()
