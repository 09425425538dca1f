"""URLs of stores: which lead to none, what is shown of them, and what is not opened offline."""

import pytest

from llorch.cache.store import open_store, shown_url
from llorch.config import Workspace
from llorch.errors import ConfigError, Offline


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/x", "`ftp:` is no kind of store; known are `file:`, `s3:`"),
        ("memory:", "`memory:` is no kind of store"),
        ("/srv/llorch", "begins with no kind of store"),
        ("secret@host", "begins with no kind of store"),
        ("", "begins with no kind of store"),
        ("file:", "takes the path of a folder"),
        ("file://host/srv", "takes a path"),
        ("file:a\0b", "takes the path of a folder"),
        ("s3://", "takes `s3://BUCKET/FOLDER`"),
        ("s3:bucket", "takes `s3://BUCKET/FOLDER`"),
        ("s3://secret:secret@bucket/x", "takes `s3://BUCKET/FOLDER`"),
        ("s3://bucket/../x", "takes `s3://BUCKET/FOLDER`"),
        ("gs://bucket/x?secret", "takes `gs://BUCKET/FOLDER`"),
        ("az://bucket/x#secret", "takes `az://BUCKET/FOLDER`"),
        ("https:", "is no `https://HOST/FOLDER`"),
        ("https://", "is no `https://HOST/FOLDER`"),
        ("https://host:port/", "is no `https://HOST/FOLDER`"),
        ("https://host/x?sig=secret", "is no `https://HOST/FOLDER`"),
        ("https://h\x1bost/x", "is no `https://HOST/FOLDER`"),
        ("http://me:secret@nas/x", "in the clear"),
        ("sftp://host", "is no `sftp://HOST/FOLDER`"),
        ("sftp:///srv", "is no `sftp://HOST/FOLDER`"),
        ("sftp://me:secret@host/srv", "is no `sftp://HOST/FOLDER`"),
    ],
)
def test_urls_of_no_store(here: Workspace, url: str, said: str) -> None:
    """A wrong URL is told of with what is right, and nothing in it that may be a secret."""
    with pytest.raises(ConfigError) as caught:
        open_store(url, here)
    told = f"{caught.value.message} {caught.value.hint}"
    assert said in told
    assert "secret" not in told
    assert told.isprintable()


@pytest.mark.parametrize("url", ["https://host/x", "s3://bucket/x", "sftp://host/x"])
def test_offline(here: Workspace, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Where fetching is switched off nothing on the network is opened; a folder is."""
    monkeypatch.setenv("LLORCH_OFFLINE", "1")
    with pytest.raises(Offline, match="LLORCH_OFFLINE is set"):
        open_store(url, here)
    assert open_store(f"file:{here.place}", here).name == f"file:{here.place}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@host:81/a/b", "https://host:81/a/b"),
        ("https://secret@host/a", "https://host/a"),
        ("https://host/a?X-Amz-Signature=secret", "https://host/a"),
        ("https://host/a#secret", "https://host/a"),
        ("sftp://me@nas/a", "sftp://me@nas/a"),
        ("sftp://me:secret@nas/a", "sftp://nas/a"),
        ("s3://a@b/c", "s3://b/c"),
        ("file:/srv/what?ever", "file:/srv/what?ever"),
        ("file:/srv/\x1b[31m", "file:/srv/\\x1b[31m"),
        ("https://a@b:secret@host/x", "https://host/x"),
    ],
)
def test_urls_as_messages_have_them(url: str, shown: str) -> None:
    """No login, query, fragment or control character is shown."""
    assert shown_url(url) == shown
