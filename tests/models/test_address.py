"""What people type or paste, and what of the Hub it names."""

import re

import pytest

from llorch.models.address import Named, parse_named

COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("org/m", Named("org/m")),
        ("gpt2:", Named("gpt2")),
        ("org/m:sub/a b.gguf", Named("org/m", "sub/a b.gguf")),
        ("https://huggingface.co/org/m", Named("org/m")),
        ("http://www.huggingface.co/org/m/", Named("org/m")),
        ("hf.co/org/m", Named("org/m")),
        ("huggingface.co/gpt2", Named("gpt2")),
        ("https://huggingface.co/gpt2/tree/main", Named("gpt2", "", "main")),
        ("https://huggingface.co/gpt2/resolve/main/a.gguf", Named("gpt2", "a.gguf", "main")),
        ("https://huggingface.co/org/m/tree/main/Q4/K_M/", Named("org/m", "", "main", "Q4/K_M")),
        ("https://huggingface.co/org/m/tree/refs%2Fpr%2F1", Named("org/m", "", "refs/pr/1")),
        (f"https://huggingface.co/org/m/commit/{COMMIT}", Named("org/m", "", COMMIT)),
        ("https://huggingface.co/org/m/discussions/7", Named("org/m")),
        ("https://huggingface.co/org/m?show_file_info=a.gguf#x", Named("org/m")),
        ("https://huggingface.co/org/m/blob/main/a%20b/%C3%BC.gguf#L1", Named("org/m", "a b/ü.gguf", "main")),
        ("https://huggingface.co/org/m/resolve/v1/a.gguf?download=true", Named("org/m", "a.gguf", "v1")),
        ("https://huggingface.co/org/m/resolve/main/..%2F..%2Fx", Named("org/m", "../../x", "main")),
        ("https://mirror.example:8443/org/m/resolve/main/a.gguf", Named("org/m", "a.gguf", "main")),
    ],
)
def test_what_is_named(text: str, named: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository and a file, or a page of the Hub or its mirror as it stands in a browser, with its revision."""
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example:8443")
    assert parse_named(text) == named


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "`` is not a repository"),
        ("a/b/c", "`a/b/c` is not a repository"),
        ("https://huggingface.co", "`` is not a repository"),
        ("https://huggingface.co/org/..%2Fm", "`org/../m` is not a repository"),
        ("https://huggingface.co/datasets/org/m", "`https://huggingface.co/datasets/org/m` is a dataset, and no model"),
        ("hf.co/spaces/org/m", "`https://hf.co/spaces/org/m` is a space, and no model"),
        ("https://me:secret@example.org/org/m?sig=secret", "`https://example.org/org/m` is not an address of the Hub"),
        ("https://huggingface.co.example.org/org/m", "is not an address of the Hub"),
        ("https://[::1/org/m", "is not an address of the Hub"),
        ("file:///org/m", "is not an address of the Hub"),
    ],
)
def test_what_names_nothing(text: str, words: str) -> None:
    """What is wrong is said, without what may be a secret."""
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        parse_named(text)
    assert "secret" not in str(caught.value)
