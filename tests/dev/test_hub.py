"""What the Hub says to doctor: a real client, a Hub on this machine, and Hubs that fail in each way."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import program
from tests.dev.conftest import examined
from tests.hub import Fault, Hub, _Handler

ENTRY = """
version = 1
[models.a]
repo = "org/a"
gated = {gated}
files = [{{ path = "a.gguf", size = 4, sha256 = "{digest}" }}]
"""
DIGEST = "a" * 64
TOKEN = "hf_theSecretTokenOfTheTests"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that the program under test asks."""
    with Hub() as running:
        running.add("org/a", {"a.gguf": b"data"})
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running


def declare(root: Path, *, gated: bool = False) -> None:
    """Declare a model of the Hub."""
    (root / "catalog.toml").write_text(ENTRY.format(gated=str(gated).lower(), digest=DIGEST))


def have(root: Path) -> None:
    """Have the model's file, as far as its size tells."""
    place = root / ".test-models/a/a.gguf"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"data")


def test_a_hub_that_answers(workspace: Path, hub: Hub) -> None:
    """It, the client's version and the clock are fine; without a token nothing is said of one."""
    declare(workspace)
    code, findings = examined()
    assert code == 0
    assert (findings["hub"].severity, findings["hub"].needed_for) == ("ok", "models:a")
    assert findings["hub"].found.startswith("huggingface_hub ")
    assert findings["hub"].found.endswith(hub.endpoint)
    assert findings["clock"].severity == "ok"
    assert "token" not in findings


def test_a_hub_that_cannot_be_reached(workspace: Path, hub: Hub) -> None:
    """A failure where a model is to come from it, a warning where none is, or it is here, or in the client's cache."""
    hub.unplug("hub")
    code, findings = examined()
    assert (code, findings["hub"].severity) == (0, "warn")
    declare(workspace)
    code, findings = examined()
    assert (code, findings["hub"].severity, findings["hub"].fix) == (1, "error", ("unset HF_ENDPOINT",))
    assert "Connection refused" in findings["hub"].text
    cache = workspace / "hf/hub/models--org--a/blobs"
    cache.mkdir(parents=True)
    (cache / DIGEST).write_bytes(b"data")
    code, findings = examined(env={"HF_HOME": str(workspace / "hf")})
    assert (code, findings["hub"].severity) == (0, "warn")
    have(workspace)
    code, findings = examined()
    assert (code, findings["hub"].severity) == (0, "warn")


def test_models_from_elsewhere_need_no_hub(workspace: Path, hub: Hub) -> None:
    """A catalog of Python packages does without."""
    hub.unplug("hub")
    source = 'source = "pypi:some-package==1.0"\nfiles = [{ path = "a.gguf" }]\n'
    (workspace / "catalog.toml").write_text(f"[models.a]\n{source}")
    code, findings = examined()
    assert (code, findings["hub"].severity) == (0, "warn")


@pytest.mark.parametrize("switch", ["LLORCH_OFFLINE", "HF_HUB_OFFLINE"])
def test_fetching_that_is_switched_off(workspace: Path, hub: Hub, switch: str) -> None:
    """It is as wanted: a warning if a model is not here, and nobody is asked."""
    declare(workspace)
    code, findings = examined(env={switch: "1"})
    assert (code, findings["hub"].severity, findings["hub"].found) == (0, "warn", "switched off")
    have(workspace)
    code, findings = examined(env={switch: "1"})
    assert (code, findings["hub"].severity) == (0, "ok")
    assert hub.requests == []


def test_a_valid_token(workspace: Path, hub: Hub) -> None:
    """Whose it is and where it is from; never the token."""
    declare(workspace, gated=True)
    hub.tokens[TOKEN] = {"org/a"}
    code, findings = examined(env={"HF_TOKEN": TOKEN})
    assert (code, findings["token"].severity, findings["token"].found) == (0, "ok", "of tester, HF_TOKEN")
    assert findings["token"].needed_for == "models:a"


def test_a_token_that_is_not_taken(workspace: Path, hub: Hub) -> None:
    """A failure where a gated model is to come, else a warning; it is not shown, wherever it is from."""
    declare(workspace)
    code, findings = examined(env={"HF_TOKEN": TOKEN})
    assert (code, findings["token"].severity, findings["hub"].severity) == (0, "warn", "ok")
    assert findings["token"].fix[0] == "unset HF_TOKEN"
    assert findings["token"].fix[1].endswith("hf auth login")
    declare(workspace, gated=True)
    (workspace / "hf").mkdir()
    (workspace / "hf/token").write_text(TOKEN)
    code, findings = examined(env={"HF_HOME": str(workspace / "hf")})
    assert (code, findings["token"].severity, len(findings["token"].fix)) == (1, "error", 1)
    for options in ([], ["--json"], ["-v"]):
        run = program("llorch", "dev", "doctor", *options, env={"HF_TOKEN": TOKEN})
        assert TOKEN not in run.out + run.err
    have(workspace)
    assert examined(env={"HF_TOKEN": TOKEN})[1]["token"].severity == "warn"


def test_a_gated_model_without_a_token(workspace: Path, hub: Hub) -> None:
    """It fails with the Hub and without; the fix gets one."""
    declare(workspace, gated=True)
    code, findings = examined()
    assert (code, findings["token"].severity, findings["token"].found) == (1, "error", "none")
    assert findings["token"].fix[0].endswith("hf auth login")
    hub.unplug("hub")
    assert examined()[1]["token"].severity == "error"
    assert "token" not in examined(env={"HF_TOKEN": TOKEN})[1]


@pytest.mark.parametrize("token", ["a\x0bb", "schlüssel"])
def test_a_token_that_is_none(workspace: Path, hub: Hub, token: str) -> None:
    """What cannot even be sent is not shown either."""
    declare(workspace)
    run = program("llorch", "dev", "doctor", env={"HF_TOKEN": token})
    assert run.code == 1
    assert "the token has letters that no token has\n        unset HF_TOKEN\n" in run.out
    assert token not in run.out + run.err


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("portal", at="any", forever=True), "login page"),
        (Fault("portal_redirect", forever=True), "login page"),
        (Fault("status", code=503, forever=True), "answers 503"),
        (Fault("reset", at="any", forever=True), "does not answer ("),
        (Fault("status", code=407, forever=True), "the proxy wants a login"),
    ],
)
def test_hubs_that_are_none(workspace: Path, hub: Hub, fault: Fault, said: str) -> None:
    """Whatever answers instead is told."""
    declare(workspace)
    hub.fault("*", fault)
    code, findings = examined()
    assert (code, findings["hub"].severity) == (1, "error")
    assert said in findings["hub"].text


def test_a_mirror_that_knows_no_users(workspace: Path, hub: Hub) -> None:
    """It has models; what it thinks of the token it does not say."""
    declare(workspace)
    hub.fault("*", Fault("status", code=404, forever=True))
    code, findings = examined(env={"HF_TOKEN": TOKEN})
    assert (code, findings["hub"].severity, findings["token"].severity) == (0, "ok", "warn")
    assert "token" not in examined()[1]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("status", code=429, forever=True), "answers 429: too much was asked from here"),
        (Fault("status", code=403, headers={"Content-Type": "text/html"}, forever=True), "answers 403: that is a web"),
    ],
)
def test_hubs_that_may_not_be_worked_with(workspace: Path, hub: Hub, fault: Fault, said: str) -> None:
    """A warning, since it may pass or may be a mirror; nothing is said of the token then."""
    declare(workspace)
    hub.fault("*", fault)
    code, findings = examined(env={"HF_TOKEN": TOKEN})
    assert (code, findings["hub"].severity, "token" in findings) == (0, "warn", False)
    assert said in findings["hub"].text


@pytest.mark.parametrize(
    ("env", "said", "fix"),
    [
        ({"HTTPS_PROXY": "http://127.0.0.1:1"}, "Connection refused, by the proxy of HTTPS_PROXY", "HTTPS_PROXY"),
        ({"all_proxy": "http://127.0.0.1:1"}, "Connection refused, by the proxy of all_proxy", "all_proxy"),
        ({"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1"}, "Connection refused\n", "HF_ENDPOINT"),
        ({"HTTPS_PROXY": "what://a:secret@b"}, "HTTPS_PROXY: is not the address of a proxy", "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "a:secret"}, "HTTPS_PROXY: is not the address of a proxy", "HTTPS_PROXY"),
        ({"ALL_PROXY": "socks5://127.0.0.1:1"}, "ALL_PROXY: a SOCKS proxy needs a package", "ALL_PROXY"),
        ({"SSL_CERT_FILE": "/no/such"}, "SSL_CERT_FILE: has no certificates", "SSL_CERT_FILE"),
        ({"HF_ENDPOINT": "https://127.0.0.1:99999"}, "is not an address such as", "HF_ENDPOINT"),
        ({"HF_ENDPOINT": "https://a:secret@127.0.0.1"}, "HF_ENDPOINT: `127.0.0.1` is not an address", "HF_ENDPOINT"),
    ],
)
def test_ways_to_the_hub_that_lead_nowhere(workspace: Path, env: dict[str, str], said: str, fix: str) -> None:
    """The variable that is to blame is named, and what it says is not shown where a password may be in it."""
    declare(workspace)
    run = program("llorch", "dev", "doctor", env={"HF_ENDPOINT": "https://127.0.0.1:1", **env})
    assert run.code == 1, run.err
    assert said in run.out
    assert f"        unset {fix}\n" in run.out
    assert "secret" not in run.out + run.err


def test_an_empty_address_is_none(workspace: Path) -> None:
    """The Hub's own counts then, as if nothing were said; here a proxy that is not there is in its way."""
    declare(workspace)
    finding = examined(env={"HF_ENDPOINT": "", "HTTPS_PROXY": "http://127.0.0.1:1"})[1]["hub"]
    assert finding.found.endswith(", https://huggingface.co")


def test_a_token_file_that_is_no_text(workspace: Path, hub: Hub) -> None:
    """It is named."""
    declare(workspace)
    (workspace / "hf").mkdir()
    (workspace / "hf/token").write_bytes(b"\xff\xfe")
    code, findings = examined(env={"HF_HOME": str(workspace / "hf")})
    assert (code, findings["hub"].severity) == (1, "error")
    assert f"{workspace}/hf/token: is not UTF-8 text" in findings["hub"].text


def test_answers_of_another_shape(workspace: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub that names nobody is one all the same."""
    declare(workspace)
    hub.tokens[TOKEN] = set()
    for body in (b"[]", b"{"):
        kind = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        monkeypatch.setattr(_Handler, "_unknown", lambda self, body=body, kind=kind: self._answer(200, kind, body))
        code, findings = examined(env={"HF_TOKEN": TOKEN})
        assert (code, findings["token"].found) == (0, "of somebody, HF_TOKEN")


def test_a_clock_that_is_wrong(workspace: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told by how much, against the Hub's; a Hub without a clock tells nothing."""
    declare(workspace)
    monkeypatch.setattr(_Handler, "date_time_string", lambda self: "Mon, 01 Jan 2024 00:00:00 GMT")
    code, findings = examined()
    assert (code, findings["clock"].severity) == (0, "warn")
    assert findings["clock"].found.endswith(" s ahead of the Hub's")
    assert findings["clock"].fix[0].endswith("timedatectl set-ntp true")
    monkeypatch.setattr(_Handler, "date_time_string", lambda self: "Mon, 01 Jan 2080 00:00:00 GMT")
    assert examined()[1]["clock"].found.endswith(" s behind the Hub's")
    monkeypatch.setattr(_Handler, "date_time_string", lambda self: "soon")
    assert "clock" not in examined()[1]


def test_an_address_that_is_none(workspace: Path) -> None:
    """The variable is named, and where it leads is not followed; no user of an address is shown."""
    declare(workspace)
    code, findings = examined(env={"HF_ENDPOINT": "huggingface.co"})
    assert (code, findings["hub"].severity, findings["hub"].fix) == (1, "error", ("unset HF_ENDPOINT",))
    code, findings = examined(env={"HF_HUB_DOWNLOAD_TIMEOUT": "soon"})
    assert (code, findings["hub"].severity, findings["hub"].fix) == (1, "error", ())


def test_a_server_that_never_answers(workspace: Path) -> None:
    """It is waited for only so long, and told as such."""
    declare(workspace)
    with socket.create_server(("127.0.0.1", 0)) as server:
        code, findings = examined(env={"HF_ENDPOINT": f"http://127.0.0.1:{server.getsockname()[1]}"})
    assert (code, findings["hub"].severity) == (1, "error")
    assert "does not answer within 4 s" in findings["hub"].text
