"""A value is one part of a path and never becomes more, however it was written."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Operation
from services.gateway.templates import Templates

pytestmark = pytest.mark.requirement("PRC-5")


def operation(name: str, path: str, upstream_path: str, method: str = "GET") -> Operation:
    return Operation(
        name=name,
        method=method,
        path=path,
        upstream="scorer",
        upstream_path=upstream_path,
        price={},
        success=("2xx",),
        timeout_s=1.0,
        unsettled="release",
        fee=None,
    )


TEMPLATES = Templates(
    [
        operation("one", "/v1/items/{id}/score", "/items/{id}/score"),
        operation("two", "/v1/items/{a}/parts/{b}", "/p/{b}/of/{a}"),
        operation("any", "/v1/{kind}/x/score", "/any/{kind}"),
        operation("put", "/v1/items/{id}/score", "/put/{id}", "PUT"),
        operation("plain", "/v1/plain", "/plain"),
    ]
)


def found(path: bytes | str, method: str = "GET") -> tuple[str, str] | None:
    raw = path if isinstance(path, bytes) else path.encode()
    one = TEMPLATES.find(method, raw)
    return None if one is None else (one.operation.name, one.upstream_path)


@pytest.mark.parametrize(
    ("path", "name", "upstream_path"),
    [
        ("/v1/items/7/score", "one", "/items/7/score"),
        ("/v1/items/a%20b/score", "one", "/items/a%20b/score"),
        ("/v1/items/%C3%A4/score", "one", "/items/%C3%A4/score"),
        ("/v1/items/a%3Fb%23c/score", "one", "/items/a%3Fb%23c/score"),
        ("/v1/items/a&b=c;d/score", "one", "/items/a%26b%3Dc%3Bd/score"),
        ("/v1/items/.a..b/score", "one", "/items/.a..b/score"),
        ("/v1/items/1/parts/2", "two", "/p/2/of/1"),
        ("/v1/items/x/score", "one", "/items/x/score"),
        ("/v1/other/x/score", "any", "/any/other"),
    ],
)
def test_values_reach_the_upstream_encoded(path: str, name: str, upstream_path: str):
    assert found(path) == (name, upstream_path)


def test_each_method_has_its_own():
    assert found("/v1/items/7/score", "PUT") == ("put", "/put/7")
    assert found("/v1/items/7/score", "POST") is None


@pytest.mark.parametrize(
    "value",
    ["", ".", "..", "%2e", "%2E%2e", ".%2e", "a%2Fb", "a%2fb", "%2F..%2F", "a%5Cb", "a\\b", "%00",
     "a%0d%0aX:%201", "a%7F", "%252e%252e", "a%25b", "..;", "..;x", "%2e%2e;x", "%FF", "%C3", "%",
     "%g1", "a b", "a?b", "a#b", "a\x00", "\xe4", "x" * 513],
)  # fmt: skip
def test_a_value_that_could_become_another_path_is_no_match(value: str):
    assert found(b"/v1/items/" + value.encode("latin-1") + b"/score") is None


@pytest.mark.parametrize(
    "path",
    ["/v1/items/7/score/", "//v1/items/7/score", "/v1/items/7", "/v1/items/7/SCORE", "/V1/items/7/score",
     "/v1/items/7/8/score", "/v1/ite%6Ds/7/score", "v1/items/7/score", "x/v1/items/7/score", "", "/",
     "/v1/plain", "/v1/items/../items/7/score"],
)  # fmt: skip
def test_what_is_literal_matches_itself_alone(path: str):
    assert found(path) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_whatever_a_value_is_the_upstream_sees_that_value_as_one_part(value: str):
    one = found(f"/v1/items/{quote(value, safe='')}/score")
    if one is not None:
        _, first, inner, last = one[1].split("/")
        assert (first, unquote(inner), last) == ("items", value, "score")
        assert "%" not in value
        assert inner not in ("", ".", "..")
