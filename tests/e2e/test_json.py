"""`--json` of every command, on an empty and on a full workspace, has the documented shape."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llorch import table
from tests.conftest import Run, program, write_catalog
from tests.models.gguf_files import good_gguf

# A shape is a type, a list of one shape, a dict of shapes, or a tuple of alternatives; None stands for null.
NUMBER_OR_NULL, TEXT_OR_NULL = (int, None), (str, None)
GOOD = good_gguf().render()
MODEL = {
    "id": str,
    "name": str,
    "source": str,
    "repo": str,
    "revision": str,
    "license": str,
    "folder": str,
    "state": str,
    "size": int,
    "files": [{"path": str, "size": NUMBER_OR_NULL, "sha256": TEXT_OR_NULL, "state": str}],
}
TENSOR = {"name": str, "shape": [int], "type": str, "offset": int, "size": int}
GGUF = {
    "version": int,
    "architecture": str,
    "parameters": int,
    "quantization": {"name": str, "types": [{"type": str, "tensors": int, "size": int}]},
    "context_length": NUMBER_OR_NULL,
    "tokenizer": (None, {"model": str, "pre": str, "vocabulary": int}),
    "chat_template": TEXT_OR_NULL,
    "split": (None, {"no": int, "count": int}),
}
FILE = {"size": NUMBER_OR_NULL, "sha256": TEXT_OR_NULL}
ERROR = {"code": str, "message": str, "hint": TEXT_OR_NULL}
TASKS = {
    "tasks": [
        {"name": str, "outcome": str, "seconds": float, "targets": [{"path": str, **FILE}], "error": (ERROR, None)}
    ]
}
CONVERTED = """
[models.made]
source = "shipped:tiny-gpt2"
files = [
  { path = "model.safetensors" },
  { path = "config.json" },
  { path = "tokenizer.json" },
]
convert = { to = "made.gguf", outtype = "f16" }
"""
SHAPES: dict[tuple[str, ...], Any] = {
    ("models", "catalog"): {"folder": str, "models": [MODEL], "total_size": int},
    ("models", "list"): {"folder": str, "models": [MODEL], "others": [{"path": str, "size": int}], "total_size": int},
    ("models", "download", "tiny"): TASKS,
    ("models", "convert", "made"): TASKS,
    ("models", "info", "tiny"): {
        "model": {
            **MODEL,
            "architecture": str,
            "parameters": str,
            "context_length": NUMBER_OR_NULL,
            "quantization": str,
            "gated": bool,
            "description": str,
            "gguf": (None, {**GGUF, "tensors": int}),
        }
    },
    ("models", "info", "other", "--tensors"): {
        "model": {
            **MODEL,
            "architecture": str,
            "parameters": str,
            "context_length": NUMBER_OR_NULL,
            "quantization": str,
            "gated": bool,
            "description": str,
            "gguf": (None, {**GGUF, "tensors": [TENSOR]}),
        }
    },
    ("models", "verify", "--all"): {
        "ok": bool,
        "models": [
            {
                "id": str,
                "ok": bool,
                "files": [{"path": str, "state": str, "expected": FILE, "actual": FILE, "detail": str}],
            }
        ],
    },
    ("models", "disk-usage"): {
        "models": [{"id": str, "folder": str, "size": int}],
        "others": [{"folder": str, "size": int}],
        "other_size": int,
        "total_size": int,
    },
    ("models", "delete", "tiny", "--yes"): {"dry_run": bool, "deleted": [{"id": str, "files": [str], "size": int}]},
    ("models", "gc", "--yes"): {"dry_run": bool, "removed": [{"path": str, "size": int}], "size": int},
    ("build", "list"): {
        "builds": [
            {
                "task": str,
                "path": str,
                "state": str,
                "size": NUMBER_OR_NULL,
                "sha256": TEXT_OR_NULL,
                "built_at": TEXT_OR_NULL,
            }
        ]
    },
    ("build", "clean", "--yes"): {"dry_run": bool, "cleaned": [{"folder": str, "package": TEXT_OR_NULL}]},
    ("init", "--dry-run"): {
        "dry_run": bool,
        "folder": str,
        "files": [{"path": str, "outcome": str}],
        "left_out": [str],
        "submodules": [str],
    },
    ("dev", "doctor"): {
        "ok": bool,
        "findings": [
            {"id": str, "severity": str, "found": str, "needed_for": str, "text": str, "fix": [str], "safe": bool}
        ],
    },
    ("list",): {"tasks": [{"name": str, "doc": str, "state": str, "targets": [str]}]},
    ("why", "models:tiny"): {
        "task": str,
        "fresh": bool,
        "reasons": [{"task": str, "kind": str, "what": str, "was": object, "now": object}],
        "restored": [{"task": str, "record": TEXT_OR_NULL, "store": str}],
    },
    ("cache", "status"): {
        "stores": [{"kind": str, "name": TEXT_OR_NULL, "state": str, "size": NUMBER_OR_NULL, "limit": NUMBER_OR_NULL}],
        "tasks": [{"name": str, "state": str, "own": str, "shared": str, "reason": str}],
    },
    ("cache", "key"): {"key": str, "tasks": [str], "parts": [{"name": str, "value": str}]},
    ("cache", "gc"): {
        "dry_run": bool,
        "removed": [{"key": str, "size": int}],
        "named": int,
        "left_over": int,
        "size": int,
        "limit": int,
    },
    ("graph", "models:tiny"): {"tasks": [{"name": str, "needs": [str]}]},
}


def mismatch(value: Any, shape: Any, where: str = "") -> str | None:
    """Return where a value does not have a shape, or None."""
    if isinstance(shape, tuple):
        return None if any(mismatch(value, other) is None for other in shape) else f"{where}: {value!r}"
    if isinstance(shape, dict):
        if not isinstance(value, dict) or value.keys() != shape.keys():
            return f"{where}: {value!r} has not the keys {list(shape)}"
        return next((found for key in shape if (found := mismatch(value[key], shape[key], f"{where}.{key}"))), None)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where}: {value!r}"
        texts = (mismatch(item, shape[0], f"{where}[{n}]") for n, item in enumerate(value))
        return next((text for text in texts if text), None)
    fits = (
        value is None if shape is None else isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
    )
    return None if fits or shape is object else f"{where}: {value!r} is not {shape}"


@pytest.mark.parametrize("full", [False, True], ids=["empty", "full"])
def test_shapes(workspace: Path, llorch: Callable[..., Run], full: bool) -> None:
    """Each command writes one document of its shape, with its schema, and nothing else to stdout."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}, "other": {"b.gguf": GOOD, "c": b""}})
    with (workspace / "catalog.toml").open("a") as catalog:
        catalog.write(CONVERTED)
    if full:
        assert llorch("models", "download", "--all").code == 0
    for command, shape in SHAPES.items():
        run = llorch(*command, "--json")
        assert mismatch(run.json, {"schema": int, **shape}, " ".join(command)) is None
        assert (run.json["schema"], run.code) == (1, 0)


def test_shapes_are_complete() -> None:
    """Every command has a shape here, but `doit`, which is plain doit's, and those that need a Hub or an address."""
    top = {(name,) for name in table.TOP} - {("models",), ("build",), ("cache",), ("test",), ("dev",), ("doit",)}
    top -= {("git",)}  # in tests/e2e/test_git.py: needs a repository
    top -= {("remote",)}  # in tests/remote: needs hosts
    top -= {("log",)}  # in tests/test_log_cli.py
    grouped = ("models", "build", "cache", "dev")
    found = {command[:2] if command[0] in grouped else command[:1] for command in SHAPES}
    elsewhere = {"add", "outdated", "pin", "update"}  # in tests/models/test_catalog_cli.py
    elsewhere |= {"push", "pull", "land"}  # in tests/models/test_push_cli.py: need a host
    elsewhere |= {"check"}  # in test_check.py: needs a model that works
    rooms = {("models", name) for name in table.MODELS if name not in elsewhere}
    # In tests/cache: these need the cache, which is off here, and a file.
    rooms |= {("cache", name) for name in table.CACHE if name not in {"push", "pull", "diff"}}
    rooms |= {("build", name) for name in table.BUILD} | {("dev", "doctor")}  # the others of dev: in tests/dev
    assert found == top | rooms


@pytest.mark.parametrize(
    ("command", "code", "exit_code"),
    [
        (("models", "info", "no-such"), "unknown-name", 3),
        (("why", "no:such"), "unknown-name", 3),
        (("models", "delete", "tiny"), "refused", 8),
        (("models", "download"), "usage", 2),
        (("models", "catalog", "--no-such"), "usage", 2),
        (("no-such",), "usage", 2),
    ],
)
def test_errors_have_their_shape(
    workspace: Path, llorch: Callable[..., Run], command: tuple[str, ...], code: str, exit_code: int
) -> None:
    """An error is a document on stdout too, with the exit code of its kind, and no traceback."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}})
    assert llorch("models", "download", "tiny").code == 0
    run = program("llorch", *command, "--json")
    assert mismatch(run.json, {"schema": int, "error": ERROR}) is None
    assert (run.json["error"]["code"], run.code, run.err) == (code, exit_code, "")
