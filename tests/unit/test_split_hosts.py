"""The servers that a database URL names, each by a URL of its own."""

import pytest

from keybearer.server.storage.primary import split_hosts

CASES = {
    "postgresql://u:p%40@a:1,b:2/n?sslmode=require": [
        "postgresql://u:p%40@a:1/n?sslmode=require",
        "postgresql://u:p%40@b:2/n?sslmode=require",
    ],
    "postgresql://a,b,[::1]:5/n": ["postgresql://a/n", "postgresql://b/n", "postgresql://[::1]:5/n"],
    "postgresql://a/n?host=ignored,too": ["postgresql://a/n?host=ignored,too"],
    "postgresql://u@/n?host=/x,/y": ["postgresql://u@/n?host=/x", "postgresql://u@/n?host=/y"],
    "postgresql:///n?host=a,b&port=1,2&sslmode=x": [
        "postgresql:///n?host=a&port=1&sslmode=x",
        "postgresql:///n?host=b&port=2&sslmode=x",
    ],
    "postgresql:///n?port=1&host=a,b": ["postgresql:///n?port=1&host=a", "postgresql:///n?port=1&host=b"],
    "postgresql://u:p,q@a/n": ["postgresql://u:p,q@a/n"],
    "postgresql:///n": ["postgresql:///n"],
}


@pytest.mark.parametrize("url", CASES)
def test_split_hosts(url: str) -> None:
    assert split_hosts(url) == CASES[url]
