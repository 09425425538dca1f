"""`llorch remote exec` and `--remote`: other machines as if they were here, and several at once."""

import os
import pty
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch import __version__
from tests.conftest import BIN, Run, program
from tests.git.conftest import git, isolated, repository
from tests.remote.conftest import declare, entry, is_there, wait_for
from tests.remote.sshd import Sshd

Llorch = Callable[..., Run]
__all__ = ["isolated"]  # a fixture, used by all tests here


@pytest.fixture
def there(box: Path, sshd: Sshd, tmp_path: Path) -> Path:
    """The repository on the hosts, of which `box` has a llorch that hosts.toml names."""
    root = repository(tmp_path / "Prøjects" / "on the host")
    (root / "llorch.toml").write_text("version = 1\n")
    declare(
        box,
        entry("box", sshd, repo_path=str(root), llorch=str(BIN / "llorch")),
        entry("tin", sshd, repo_path=str(root), llorch=str(BIN / "llorch"), transport="openssh", tags=["tag"]),
    )
    return root


def test_exec_is_as_if_it_were_here(box: Path) -> None:
    """Output, input and exit code of a program on a host are this command's."""
    command = [str(BIN / "llorch"), "remote", "exec", "box", "--", "sh", "-c", "cat; echo no >&2; exit 9"]
    done = subprocess.run(command, input=b"in\xff", capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (9, b"in\xff", b"no\n")


@pytest.mark.parametrize(
    "words",
    [
        ("remote", "exec", "box", "printf", "%s|", "-v", "--json", "--", "-C", "x"),
        ("remote", "exec", "box", "--", "printf", "%s|", "-v", "--json", "--", "-C", "x"),
        ("remote", "exec", "-q", "box", "-C", ".", "--", "printf", "%s|", "-v", "--json", "--", "-C", "x"),
    ],
)
def test_what_follows_the_host_is_the_programs(box: Path, llorch: Llorch, words: tuple[str, ...]) -> None:
    """No option of the other machine's command is taken for one of ours, with `--` before it or without."""
    run = llorch(*words)
    assert (run.code, run.out) == (0, "-v|--json|--|-C|x|")


@pytest.mark.parametrize("hosts", ["box", "tin", "box,tin"])
def test_one_word_with_blanks_is_a_command_line(box: Path, llorch: Llorch, hosts: str) -> None:
    """A shell there reads it, as with ssh; several words stay what they are."""
    run = llorch("remote", "exec", hosts, "printf '%s\\n' \"$((6 * 7))\" | tr 4 5; exit 3")
    assert (run.code, "52" in run.out.split()) == (3, True)
    assert llorch("remote", "exec", hosts, "--", "echo two; exit 3").code == 3
    run = llorch("remote", "exec", hosts, "echo", "a; exit 3")
    assert (run.code, "a; exit 3" in run.out) == (0, True)


def test_the_log_has_how_it_ended_there(box: Path, llorch: Llorch) -> None:
    """On one host or several, the log here tells each host and its exit code, and leaves out what is a secret."""
    (box / "llorch.toml").touch()
    llorch("remote", "exec", "box", "--", "sh", "-c", "exit 9", "--token", "s3cret")
    first = llorch("log", "--json").json["events"]
    assert first[0]["command"] == "llorch remote exec box -- sh -c 'exit 9' --token ***"
    assert [(event["name"], event["exit"]) for event in first if event["event"] == "host"] == [("box", 9)]
    llorch("remote", "exec", "box,tin", "true")
    hosts = [event for event in llorch("log", "--json").json["events"] if event["event"] == "host"]
    assert sorted((event["name"], event["exit"]) for event in hosts) == [("box", 0), ("tin", 0)]


def test_exec_without_a_command(box: Path, llorch: Llorch) -> None:
    """There has to be one, and a terminal is one host's."""
    assert llorch("remote", "exec", "box").code == 2
    assert llorch("remote", "exec", "-t", "box,tin", "true").code == 2
    assert llorch("remote", "exec", "box", "--remote", "tin", "--", "true").code == 2


def test_exec_in_the_repository(there: Path, llorch: Llorch) -> None:
    """Where hosts.toml names a folder, it runs there; one that is not there is an error."""
    assert llorch("remote", "exec", "box", "pwd").out == f"{there}\n"
    shutil.rmtree(there)
    run = llorch("remote", "exec", "box", "pwd", "--json")
    assert run.code == 3
    run = llorch("remote", "exec", "--json", "box", "pwd")
    assert run.json["hosts"][0]["error"]["code"] == "not-in-workspace"
    assert str(there) in run.json["hosts"][0]["error"]["message"]


def test_exec_on_a_host_of_sshs(box: Path, sshd: Sshd, llorch: Llorch) -> None:
    """A host that hosts.toml does not have is one of ssh's configuration; a name that is code is none."""
    (box.parent / "ssh_config").write_text(
        f"Host somewhere\nHostName {sshd.address}\nPort {sshd.port}\nUser {sshd.user}\nHost *\n"
        f'IdentityFile "{sshd.client_key}"\nUserKnownHostsFile "{sshd.known_hosts}"\nIdentityAgent none\n'
    )
    assert llorch("remote", "exec", "somewhere", "echo", "hi").out == "hi\n"
    for name in ("-oProxyCommand=touch pwned", "$(touch pwned)", "a;touch pwned", "a@-b", "a b", "ü"):
        run = llorch("remote", "exec", "--", name, "true")
        assert run.code == 3, name
        assert "there is no host" in run.err
    assert not (box / "pwned").exists()


def test_exec_on_several(box: Path, llorch: Llorch) -> None:
    """Each line has its host's name, and a table tells how each ended; the first failure's code is ours."""
    run = llorch("remote", "exec", "all", "--", "sh", "-c", "echo one; printf two; echo err >&2; exit 3")
    assert run.code == 3
    assert sorted(run.out.splitlines()) == ["box | one", "box | two", "tin | one", "tin | two"]
    assert sorted(line for line in run.err.splitlines() if "|" in line) == ["box | err", "tin | err"]
    assert [line.split()[:2] for line in run.err.splitlines()[-2:]] == [["box", "failed"], ["tin", "failed"]]
    assert llorch("remote", "exec", "@tag,box", "--", "true").code == 0
    assert llorch("remote", "exec", "-q", "all", "--", "true").err == ""


def test_exec_on_several_as_json(box: Path, sshd: Sshd, llorch: Llorch) -> None:
    """One document has a result or an error for each host, whatever the others do."""
    declare(box, entry("box", sshd), entry("off", sshd, port=1))
    run = llorch("remote", "exec", "--json", "all", "--", "echo", "hi")
    first, second = run.json["hosts"]
    assert (run.code, first["host"], first["exit"], first["error"]) == (7, "box", 0, None)
    assert first["result"] == {"stdout": "hi\n", "stderr": ""}
    assert (second["host"], second["exit"], second["result"]) == ("off", 7, None)
    assert second["error"]["code"] == "connection-failed"


def test_a_dead_host_holds_up_nobody(box: Path, sshd: Sshd, llorch: Llorch) -> None:
    """Twenty at once: one is off, one takes connections and hangs, and eighteen are done meanwhile."""
    import socket

    with socket.create_server(("127.0.0.1", 0), backlog=5) as silent:
        hosts = [entry(f"h{n}", sshd) for n in range(18)]
        hanging = entry("hangs", sshd, port=silent.getsockname()[1])
        declare(box, *hosts, entry("off", sshd, port=1), hanging)
        (box / "llorch.toml").write_text("version = 1\n[remote]\nconnect_timeout = 4\n")
        begun = time.monotonic()
        run = llorch("remote", "exec", "--json", "all", "--", "sleep", "1")
        assert time.monotonic() - begun < 30
    ends = {host["host"]: host for host in run.json["hosts"]}
    assert [ends[f"h{n}"]["exit"] for n in range(18)] == [0] * 18
    assert "4 s are over" in ends["hangs"]["error"]["message"]
    assert "Connection refused" in ends["off"]["error"]["message"]


@pytest.mark.parametrize("name", ["box", "tin"])
def test_ctrl_c_ends_the_other_end(box: Path, sshd: Sshd, name: str) -> None:
    """An interrupt, and a request to end, leave nothing behind on the host; the exit codes are as for a local one."""
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        for target in (name, "box,tin"):
            command = [str(BIN / "llorch"), "remote", "exec", target, "--", "sh", "-c", "echo $$ >&2; sleep 600"]
            with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
                assert process.stderr is not None
                pids = [int(process.stderr.readline().split()[-1]) for _ in target.split(",")]
                process.send_signal(number)
                assert process.wait(20) == code
            wait_for(lambda pids=pids: not any(is_there(pid) for pid in pids))  # type: ignore[misc] # a default


@pytest.mark.parametrize("name", ["box", "tin", "box,tin"])
def test_a_second_request_to_end_leaves_nothing_either(box: Path, name: str) -> None:
    """A second signal, at once or while the first is being passed on, cuts nothing short, here or on the host."""
    for seconds in (0.0, 0.3):
        script = 'trap "" INT; echo $$ >&2; sleep 600'  # so that the first that is passed on does not end it
        command = [str(BIN / "llorch"), "remote", "exec", name, "--", "sh", "-c", script]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, process_group=0) as process:
            assert process.stderr is not None
            pids = [int(process.stderr.readline().split()[-1]) for _ in name.split(",")]
            os.killpg(process.pid, signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(seconds)
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(20) == 130
            assert b"Traceback" not in process.stderr.read()
            with pytest.raises(ProcessLookupError):  # ssh, which does not heed Ctrl-C, is gone as well
                os.killpg(process.pid, 0)
        wait_for(lambda pids=pids: not any(is_there(pid) for pid in pids))  # type: ignore[misc] # a default


def test_a_reader_that_goes_away(box: Path) -> None:
    """Where nobody reads any more, the program is ended, as in a pipe."""
    command = [str(BIN / "llorch"), "remote", "exec", "box", "--", "sh", "-c", "echo $$; exec cat /dev/zero"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.stdout.close()
        assert process.wait(20) == 141
    wait_for(lambda: not is_there(pid))


def test_exec_with_a_terminal(box: Path) -> None:
    """The program has a terminal of this one's size, and keys reach it at once: it is Ctrl-C's to take."""
    main, ours = pty.openpty()
    command = [str(BIN / "llorch"), "remote", "exec", "-t", "box", "--", "sh", "-c"]
    script = 'trap "echo int; exit 5" INT; stty size; while :; do sleep 0.02; done'
    env = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen([*command, script], stdin=ours, stdout=ours, stderr=ours, env=env) as process:
        said = b""
        while b"\n" not in said:
            said += os.read(main, 1000)
        os.write(main, b"\x03")
        assert process.wait(20) == 5
    assert os.read(main, 1000).replace(b"^C", b"").split()[-1] == b"int"
    os.close(main)
    os.close(ours)


def test_commands_run_there(there: Path, llorch: Llorch) -> None:
    """A command of any room is run in the host's repository; options may stand anywhere."""
    git(there, "switch", "-qc", "branch-of-the-host")
    for name in ("box", "tin"):
        assert "branch-of-the-host" in llorch("git", "status", "--remote", name).out
    assert llorch("--remote", "box", "git", "status", "--json").json["repository"]["branch"] == "branch-of-the-host"
    run = llorch("models", "list", "--json", env={"LLORCH_REMOTE_HOST": "box"})
    assert (run.code, run.json["models"]) == (0, [])
    assert llorch("list", "--remote=box").code == 0


def test_a_name_for_several_has_one_shape(there: Path, llorch: Llorch) -> None:
    """A tag or a list is a document of hosts, however many hosts it means today."""
    for named, host in (("@tag", "tin"), ("box,box", "box")):
        run = llorch("models", "list", "--json", "--remote", named)
        assert [(each["host"], each["result"]["models"]) for each in run.json["hosts"]] == [(host, [])]
        assert [each["host"] for each in llorch("remote", "info", named, "--json").json["hosts"]] == [host]
        run = llorch("remote", "setup", named, "--dry-run", "--json")
        assert [each["host"] for each in run.json["hosts"]] == [host]


def test_exit_codes_and_errors_come_back(there: Path, llorch: Llorch) -> None:
    """What fails there fails here, with its message and code."""
    run = llorch("models", "info", "nosuch", "--remote", "box")
    assert run.code == 3
    assert "there is no model `nosuch`" in run.err
    run = llorch("models", "info", "nosuch", "--remote", "box", "--json")
    assert (run.code, run.json["error"]["code"]) == (3, "unknown-name")
    assert llorch("models", "info", "--nosuch", "--remote", "box").code == 2


def test_names_that_are_code_do_nothing(there: Path, llorch: Llorch) -> None:
    """A model's name is one word there, whatever is in it."""
    for name in ("$(touch pwned)", "a; touch pwned", "`touch pwned`", "a\ntouch pwned", "'; touch pwned; '"):
        run = llorch("models", "info", "--remote", "box", "--", name)
        assert run.code == 3
    assert not any(Path(folder, "pwned").exists() for folder in (there, there.parent, Path.home()))


def test_several_hosts(there: Path, llorch: Llorch) -> None:
    """Commands on several hosts are told apart by their lines, or are one document with theirs in it."""
    run = llorch("git", "log", "--remote", "box,tin")
    assert run.code == 0
    assert sorted({line.split(" | ")[0] for line in run.out.splitlines()}) == ["box", "tin"]
    run = llorch("git", "status", "--json", "--remote", "all")
    assert [host["result"]["repository"]["branch"] for host in run.json["hosts"]] == ["main", "main"]
    assert llorch("git", "status", "--remote", "nosuch").code == 3
    assert llorch("git", "status", "--remote", "@nosuch").code == 3


def test_no_secret_goes_along(there: Path, llorch: Llorch, tmp_path: Path) -> None:
    """Neither the environment nor the command line there has a token, and nothing that is printed does."""
    spy = tmp_path / "spy"
    spy.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "llorch {__version__}" && exit\nenv; '
        'tr "\\0" " " </proc/$PPID/cmdline'
    )
    spy.chmod(0o755)
    hosts = there.parent.parent / "Wörk späce" / "hosts.toml"
    hosts.write_text(hosts.read_text().replace(str(BIN / "llorch"), str(spy)))
    for name in ("box", "tin"):
        run = llorch(
            "models", "list", "--remote", name, "-v", env={"HF_TOKEN": "hf_secret", "AWS_SECRET_KEY": "s3cret"}
        )
        assert "LLORCH_FORWARDED=none" in run.out
        assert "hf_secret" not in run.out + run.err
        assert "s3cret" not in run.out + run.err


def test_colours_and_width_go_along(there: Path) -> None:
    """On a terminal here the output there is coloured and laid out for it, with no bar that nobody could draw."""
    main, ours = pty.openpty()
    command = [str(BIN / "llorch"), "git", "status", "--remote", "box"]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "77"}
    with subprocess.Popen(command, stdout=ours, stderr=ours, stdin=subprocess.DEVNULL, env=env) as process:
        assert process.wait(20) == 0
    os.close(ours)
    said = os.read(main, 100_000)
    os.close(main)
    assert b"\x1b[" in said


def test_a_host_without_llorch(there: Path, box: Path, sshd: Sshd, llorch: Llorch, tmp_path: Path) -> None:
    """It says so, with the command that installs it; a folder that is missing, and another version, too."""
    declare(box, entry("box", sshd, repo_path=str(there)))
    run = llorch("git", "status", "--remote", "box")
    assert run.code == 4
    assert "there is no llorch on `box`" in run.err
    assert "`llorch remote setup box`" in run.err
    for version, code, said in ((__version__ + "9", 0, f"has llorch {__version__}9, here it is {__version__}"),
                                ("99.0.0", 4, "has llorch 99.0.0, which")):  # fmt: skip
        other = there / ".venv" / "bin" / "llorch"
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_text(f"#!/bin/sh\necho llorch {version}\n")
        other.chmod(0o755)
        run = llorch("git", "status", "--remote", "box")
        assert run.code == code
        assert said in run.err
    declare(box, entry("box", sshd, repo_path="~/nosuch"))
    run = llorch("git", "status", "--remote", "box")
    assert run.code == 3
    assert "`box` has no folder `~/nosuch`" in run.err


def test_a_shell_that_runs_nothing(there: Path, box: Path, tmp_path: Path, llorch: Llorch) -> None:
    """A login shell that refuses is told, for both kinds of command."""
    with Sshd(tmp_path / "no", options=["ForceCommand echo not today; exit 4"]) as server:
        declare(box, entry("box", server))
        (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{server.known_hosts}"\n')
        for words in (["git", "status", "--remote", "box"], ["remote", "exec", "box", "true"]):
            run = llorch(*words)
            assert run.code == 1
            assert "not today" in run.err
            assert "the login shell of `box` does not run commands: it ended with 4" in run.err


def test_a_forwarded_command_is_not_forwarded_again(there: Path, llorch: Llorch) -> None:
    """A host whose environment names another one runs what it is sent itself."""
    (there / "llorch").write_text(f'#!/bin/sh\nLLORCH_REMOTE_HOST=nosuch exec "{BIN}/llorch" "$@"\n')
    (there / "llorch").chmod(0o755)
    hosts = there.parent.parent / "Wörk späce" / "hosts.toml"
    hosts.write_text(hosts.read_text().replace(str(BIN / "llorch"), str(there / "llorch")))
    assert llorch("git", "log", "--remote", "box").code == 0


def test_the_quick_status_goes_there_too(there: Path) -> None:
    """The shortest command heeds LLORCH_REMOTE_HOST as all do."""
    git(there, "switch", "-qc", "of-the-host")
    run = program("llorch", "git", "status", env={**os.environ, "LLORCH_REMOTE_HOST": "box"})
    assert "of-the-host" in run.out


def test_a_default_host(there: Path, box: Path, llorch: Llorch) -> None:
    """Where no host is named, the one of the settings is meant; without one there has to be a name."""
    run = llorch("remote", "info", "--json")
    assert (run.code, run.json["error"]["code"]) == (2, "usage")
    (box / "llorch.toml").write_text('version = 1\n[remote]\ndefault_host = "box"\n')
    assert llorch("remote", "info", "--json").json["host"] == "box"


def test_an_empty_host_is_none(box: Path, llorch: Llorch) -> None:
    """A variable that is not set must not have a command run here that was meant for elsewhere."""
    run = llorch("models", "list", "--remote", "")
    assert (run.code, run.out) == (2, "")
    assert "`--remote` names no host" in run.err


def test_variables_that_ssh_would_send_stay_here(box: Path, tmp_path: Path, llorch: Llorch) -> None:
    """A configuration of ssh that sends tokens sends none for llorch; what says the language goes along."""
    with Sshd(tmp_path / "takes", options=["AcceptEnv *"]) as server:
        declare(box, entry("tin", server, transport="openssh"))
        known = f'UserKnownHostsFile "{server.known_hosts}"'
        (box.parent / "ssh_config").write_text(f"Host *\nSendEnv HF_TOKEN AWS_* LC_*\n{known}\n")
        secrets = {"HF_TOKEN": "hf_secret", "AWS_SECRET_KEY": "s3cret", "LC_MESSAGES": "de_DE"}
        run = llorch("remote", "exec", "tin", "--", "env", env=secrets)
    assert run.code == 0
    assert "hf_secret" not in run.out
    assert "s3cret" not in run.out
    assert "LC_MESSAGES=de_DE" in run.out


def test_a_llorch_that_says_no_version(there: Path, box: Path, sshd: Sshd, llorch: Llorch) -> None:
    """What says nothing of itself is no llorch, and the other hosts have their results."""
    (there / "mute").write_text("#!/bin/sh\n")
    (there / "mute").chmod(0o755)
    declare(
        box,
        entry("mute", sshd, repo_path=str(there), llorch=str(there / "mute")),
        entry("box", sshd, repo_path=str(there), llorch=str(BIN / "llorch")),
    )
    run = llorch("models", "list", "--remote", "all", "--json")
    assert run.code == 4
    assert [host["exit"] for host in run.json["hosts"]] == [4, 0]


def test_files_that_do_not_wait(box: Path) -> None:
    """Input that is not there yet and output that nobody takes yet are waited for, also where a file says not to."""
    ours, theirs = os.pipe()
    out, taken = os.pipe()
    for fd in (ours, taken):
        os.set_blocking(fd, False)
    command = [str(BIN / "llorch"), "remote", "exec", "box", "--", "cat"]
    with subprocess.Popen(command, stdin=ours, stdout=taken) as process:
        os.close(taken)
        os.write(theirs, b"x" * 60_000)
        os.write(theirs, b"y" * 1000)
        os.close(theirs)
        with open(out, "rb") as reading:
            assert reading.read() == b"x" * 60_000 + b"y" * 1000
        assert process.wait(20) == 0
    os.close(ours)
