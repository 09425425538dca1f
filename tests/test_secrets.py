"""Secrets are taken out of what outlives a run."""

import pytest

from llorch.secrets import Hider

TOKEN = "hf_" + "aBcD1234" * 4
ENVIRON = {
    "HF_TOKEN": "plainvalue",
    "SIGN_KEY": "first line\nsecond line of it",
    "MYSQL_PWD": "hunter22",
    "SHORT_TOKEN": "on",
    "PWD": "/home/me/work",
    "EDITOR": "emacs-the-one",
}


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Bearer plainvalue and plainvalue/", "Bearer *** and ***/"),
        ("has second line of it, and first line", "has ***, and ***"),
        ("-phunter22", "-p***"),
        ("https://me:pw@example.org/a and ssh://git@host/b", "https://example.org/a and ssh://host/b"),
        ("x --token abc --hf-token=abc --api-key 'a b'\"c\" y", "x --token *** --hf-token=*** --api-key *** y"),
        ("curl -H 'Authorization: Bearer abc' https://x", "curl -H 'Authorization: ***' https://x"),
        ("> proxy-authorization: basic YTpi", "> proxy-authorization: ***"),
        ("set-cookie: a=b; c=d\nnext", "set-cookie: ***\nnext"),
        ('{"access_token": "0123456789", "x": 1}', '{"access_token": "***", "x": 1}'),
        ("https://b.s3/o?X-Amz-Signature=0123456789&x=1", "https://b.s3/o?X-Amz-Signature=***&x=1"),
        (f"got {TOKEN}.", "got ***"),
        ("AKIAIOSFODNN7EXAMPLE1", "***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig", "***"),
    ],
)
def test_secrets_are_gone(text: str, hidden: str) -> None:
    """Values of the environment, what something calls a secret, and tokens by their beginning."""
    assert Hider(ENVIRON).hide(text) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "llorch models check --tokens 16 smollm2",
        "--tokenizer llama --token-file /a/b",
        "eos_token = 151645 and bos token: 1",
        "/home/me/work emacs-the-one on",
        "a key: value, hf_short, sk-1, monkey business",
        "me@example.org wrote http://example.org/@x",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    """Words that are like those for secrets, short values, and variables that are called otherwise."""
    assert Hider(ENVIRON).hide(text) == text


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The values are those of the beginning, also when a variable is gone since."""
    monkeypatch.setenv("HF_TOKEN", "plainvalue")
    hider = Hider()
    monkeypatch.delenv("HF_TOKEN")
    assert hider.hide("plainvalue") == "***"
