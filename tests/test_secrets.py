"""What may not be read by others is taken out of texts, and nothing else is."""

import socket

import pytest

from llorch.secrets import hide, impersonal, is_secret, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:token@example.org/x", "https://example.org/x"),
        ("https://token@example.org", "https://example.org"),
        ("ssh://git@example.org/a and https://a:b@c/d", "ssh://example.org/a and https://c/d"),
        ("https://example.org/a@b", "https://example.org/a@b"),
        ("fatal: 'https://example.org/x' by me@home", "fatal: 'https://example.org/x' by me@home"),
        ("git@example.org:a/b", "git@example.org:a/b"),
    ],
)
def test_addresses_lose_user_and_password(text: str, shown: str) -> None:
    """Only what stands before an address's host goes."""
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("HF_TOKEN", True),
        ("LLORCH_SIGN_KEY", True),
        ("api_keys", True),
        ("DB_PASSWORD", True),
        ("SSH_AUTH_SOCK", True),
        ("HF_TOKEN_PATH", False),
        ("MONKEY", False),
        ("LLORCH_CACHE_URL", False),
    ],
)
def test_names_tell_what_is_secret(name: str, secret: bool) -> None:
    """Whole words of a name count, and where a secret is kept is none."""
    assert is_secret(name) is secret


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/x", "s3://bucket/x"),
        ("https://u:p@example.org/a?X-Amz-Signature=abc&b=1 next", "https://example.org/a?*** next"),
        ("'https://example.org/#access_token=abc'", "'https://example.org/#***'"),
        ("hf_AbCdEf1234567890", "***"),
        ("(ghp_0123456789abcdefABCDEF)", "(***)"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2ln", "***"),
        ("hf_hub_download in half_life by hf_transfer", "hf_hub_download in half_life by hf_transfer"),
        ("models:tinyllama sha256:" + "a" * 64, "models:tinyllama sha256:" + "a" * 64),
        ("what is it? nobody@example.org knows", "what is it? nobody@example.org knows"),
        ("correct horse battery", "*** battery"),
        ("env:LLORCH_SIGN_KEY", "env:LLORCH_SIGN_KEY"),
        ("12345", "12345"),
    ],
)
def test_secrets_are_hidden_wherever_they_are(text: str, shown: str) -> None:
    """Tokens by their looks, what addresses carry, and what variables of such names have; too short a value is none."""
    environ = {"MY_PASSWORD": "correct horse", "PIN_KEY": "12345", "LLORCH_JOBS": "models"}
    assert hide(text, environ) == shown


def test_a_longer_secret_goes_before_one_in_it() -> None:
    """Nothing is left of it."""
    assert hide("abcdefghij", {"A_TOKEN": "abcdef", "B_TOKEN": "abcdefghij"}) == "***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/vince/a/b", "~/a/b"),
        ("/home/vince", "~"),
        ("/home/vincent/a", "/home/USER/a"),
        ("/Users/ann/x", "/Users/USER/x"),
        ("by vince, in vince-x and province", "by USER, in vince-x and province"),
        ("{host} and {host}.local", "HOST and HOST.local"),
    ],
)
def test_nobody_is_named(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user nor the machine, as whole words."""
    monkeypatch.setattr(socket, "gethostname", lambda: "workbox.lan")
    environ = {"HOME": "/home/vince/", "USER": "vince", "LOGNAME": "me"}
    assert impersonal(text.format(host="workbox"), environ) == shown


def test_everybodys_names_stay() -> None:
    """Root and an empty home are nobody's."""
    assert impersonal("root of /root", {"HOME": "", "USER": "root"}) == "root of /root"
