"""The errors: their exit codes, their tree, and what they say in text and in JSON."""

import re
from pathlib import Path

import pytest

from llorch import errors
from llorch.errors import (
    Busy,
    CommandFailed,
    ConfigError,
    DiskFull,
    IntegrityError,
    LlorchError,
    Malformed,
    NotInWorkspace,
    Problem,
    Refused,
    TaskFailure,
    TimedOut,
    ToolMissing,
    UnknownName,
    nearest,
)

PROBLEM = Problem("llorch.toml", 3, "paths.models", "is empty", "name a folder")


@pytest.mark.parametrize(
    ("error", "code", "exit_code", "message", "details"),
    [
        (LlorchError("it broke"), "failed", 1, "it broke", {}),
        (TaskFailure("it broke"), "task-failed", 1, "it broke", {}),
        (Busy("it broke"), "busy", 1, "it broke", {}),
        (DiskFull("it broke"), "disk", 1, "it broke", {}),
        (
            ConfigError([PROBLEM, Problem("catalog.toml", None, "", "is not TOML")]),
            "config",
            3,
            "llorch.toml:3: paths.models: is empty (name a folder)\ncatalog.toml: is not TOML",
            {
                "problems": [
                    {
                        "file": "llorch.toml",
                        "line": 3,
                        "key": "paths.models",
                        "message": "is empty",
                        "hint": "name a folder",
                        "severity": "error",
                    },
                    {
                        "file": "catalog.toml",
                        "line": None,
                        "key": "",
                        "message": "is not TOML",
                        "hint": None,
                        "severity": "error",
                    },
                ]
            },
        ),
        (
            UnknownName("model", "tinylama", ["qwen", "tinyllama"]),
            "unknown-name",
            3,
            "there is no model `tinylama`; did you mean `tinyllama`?",
            {},
        ),
        (UnknownName("host", "xyz", ["workstation"]), "unknown-name", 3, "there is no host `xyz`", {}),
        (NotInWorkspace("it broke"), "not-in-workspace", 3, "it broke", {}),
        (ToolMissing("it broke"), "tool-missing", 4, "it broke", {}),
        (
            CommandFailed(["git", "fetch"], 128, "no remote"),
            "command-failed",
            5,
            "`git` exited with 128:\nno remote",
            {"command": ["git", "fetch"], "returncode": 128},
        ),
        (
            CommandFailed(["cargo"], -9, ""),
            "command-failed",
            5,
            "`cargo` was ended by signal 9",
            {"command": ["cargo"], "returncode": -9},
        ),
        (
            TimedOut(["cargo", "build"], 2.5),
            "timed-out",
            5,
            "`cargo` was not done after 2.5 s, and was ended",
            {"command": ["cargo", "build"], "timeout": 2.5},
        ),
        (
            IntegrityError("a.gguf", "5 bytes", "4 bytes"),
            "integrity",
            6,
            "`a.gguf` is not the promised file: expected 5 bytes, found 4 bytes",
            {"path": "a.gguf", "expected": "5 bytes", "actual": "4 bytes"},
        ),
        (
            Malformed("a.gguf", "it ends too early"),
            "malformed",
            6,
            "`a.gguf` is malformed: it ends too early",
            {"path": "a.gguf", "reason": "it ends too early"},
        ),
        (Refused("it broke"), "refused", 8, "it broke", {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, LlorchError) else "",
)
def test_errors_say_what_went_wrong(
    error: LlorchError, code: str, exit_code: int, message: str, details: dict[str, object]
) -> None:
    """An error has a code, an exit code and a message, and its JSON has these and its details."""
    assert (error.code, error.exit_code, error.message, str(error)) == (code, exit_code, message, message)
    assert error.as_json() == {"code": code, "message": message, "hint": None, **details}


@pytest.mark.parametrize(
    "error",
    [
        LlorchError("x", hint="do y"),
        ConfigError([PROBLEM], hint="do y"),
        UnknownName("task", "x", [], hint="do y"),
        CommandFailed(["x"], 1, "", hint="do y"),
        TimedOut(["x"], 1, hint="do y"),
        IntegrityError("x", "a", "b", hint="do y"),
        Malformed("x", "a", hint="do y"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_constructor_keeps_the_hint(error: LlorchError) -> None:
    """The hint is there for the terminal and for JSON, and is no part of the message."""
    assert (error.hint, error.as_json()["hint"]) == ("do y", "do y")
    assert "do y" not in error.message


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """The docstring of the module draws every class with its exit code, and no others."""
    drawn = dict(re.findall(r"^ +[│├└─ ]*(\w+) +(\d+)  ", errors.__doc__ or "", re.M))
    below = LlorchError.__subclasses__()
    classes: list[type[LlorchError]] = [LlorchError, *below, *(sub for cls in below for sub in cls.__subclasses__())]
    declared = {cls.__name__: str(cls.exit_code) for cls in classes if cls.__module__ == "llorch.errors"}
    assert drawn == declared
    written = re.findall(
        r"^class (\w+)\((?:Exception|LlorchError|ConnectionFailed)\):", Path(errors.__file__).read_text(), re.M
    )
    assert sorted(written) == sorted(declared)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.toml", 3, "b.c", "is wrong"), "a.toml:3: b.c: is wrong"),
        (Problem("a.toml", None, "b.c", "is wrong"), "a.toml: b.c: is wrong"),
        (Problem("a.toml", 3, "", "is wrong", "do x"), "a.toml:3: is wrong (do x)"),
    ],
)
def test_problems_are_one_line(problem: Problem, text: str) -> None:
    """A problem is file, line, key, message and hint, as far as there are any."""
    assert str(problem) == text


@pytest.mark.parametrize(("name", "near"), [("qwem", "qwen"), ("qwen-fp6", "qwen-fp16"), ("zzz", None), ("", None)])
def test_nearest_guesses_only_what_is_near(name: str, near: str | None) -> None:
    """The nearest name is found, and none where all are far."""
    assert nearest(name, ["qwen", "qwen-fp16", "phi3"]) == near


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "a b"), "`a b` cannot be used: Permission denied"),
        (OSError(28, "No space left on device", "x"), "`x` cannot be used: No space left on device"),
        (FileNotFoundError(2, "No such file or directory", "x"), None),
        (OSError(28, "No space left on device"), "what llorch writes cannot be written: No space left on device"),
        (PermissionError(13, "Permission denied"), None),
        (OSError(24, "Too many open files"), "too many files are open at once"),
        (OSError(23, "Too many open files in system", "x"), "too many files are open at once"),
    ],
)
def test_refusals_of_the_system_are_told_from_mistakes(error: OSError, message: str | None) -> None:
    """What the disk or the rights refuse has a message; what should have been there is ours."""
    known = errors.of_system(error)
    assert (known.message if known is not None else None) == message
