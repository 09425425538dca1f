"""What ssh puts in for tokens, variables and homes."""

import os
import pwd
import socket

import pytest

from llorch.errors import ConfigError
from llorch.remote.tokens import expand, expand_home, expand_path, home, local_user, tokens_of

TOKENS = tokens_of("Box", hostname="box.lan", port=2222, user="vince", alias=None)


def test_every_token_is_known() -> None:
    """Each stands for what ssh_config(5) says."""
    me = pwd.getpwuid(os.getuid())
    local = socket.gethostname()
    assert expand("%n %h %p %r %k %% %%h", TOKENS) == "Box box.lan 2222 vince Box % %h"
    assert expand("%d %i %u %l %L", TOKENS) == f"{me.pw_dir} {os.getuid()} {me.pw_name} {local} {local.split('.')[0]}"
    assert tokens_of("b", hostname="b", port=1, user="u", alias="known")["k"] == "known"


def test_values_are_put_in_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a variable or a name holds is not read again; commands have variables of their shell's own."""
    monkeypatch.setenv("WORD", "%h ${HOME} ü")
    assert expand_path("/${WORD}/%h", TOKENS) == "/%h ${HOME} ü/box.lan"
    assert expand("nc ${WORD} $WORD %h", TOKENS) == "nc ${WORD} $WORD box.lan"


def test_the_home_is_the_one_that_ssh_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes from the user database, whatever HOME says, and only a path begins with it."""
    monkeypatch.setenv("HOME", "/elsewhere")
    me = pwd.getpwuid(os.getuid())
    assert (home(), local_user()) == (me.pw_dir, me.pw_name)
    assert (expand_home("~"), expand_home("~/x y")) == (me.pw_dir, f"{me.pw_dir}/x y")
    assert expand_home(f"~{me.pw_name}/x") == f"{me.pw_dir}/x"
    assert expand_home("a/~/x") == "a/~/x"


@pytest.mark.parametrize("text", ["~no-such-user/x", "%x", "a%", "${LLORCH_TEST_NONE}"])
def test_what_stands_for_nothing_is_refused(text: str) -> None:
    """The value is named."""
    with pytest.raises(ConfigError, match=r"nothing here|no user") as caught:
        expand_path(text, TOKENS)
    assert caught.value.problems[0].key == text
