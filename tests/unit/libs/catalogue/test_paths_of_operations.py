"""A path with parts of the customer's own is sound, and never covers a place of Farebox's."""

import pytest

from libs.catalogue import CatalogueError, parse
from tests.support.catalogue import EXAMPLE

pytestmark = pytest.mark.requirement("PRC-5")

ROUTE = 'path = "/v1/score-image", upstream = "scorer", upstream_path = "/score"'
FURTHER = """[operations.further]
route = { path = "/v1/items/{b}", upstream = "scorer", upstream_path = "/b/{b}" }
price = { CREDIT = "1" }
[plans.payg]"""


def with_paths(path: str, upstream_path: str, text: str = EXAMPLE) -> str:
    new = f'path = "{path}", upstream = "scorer", upstream_path = "{upstream_path}"'
    assert ROUTE in text
    return text.replace(ROUTE, new)


def faults(text: str) -> list[str]:
    with pytest.raises(CatalogueError) as caught:
        parse(text)
    return caught.value.errors


def test_parts_of_the_path_may_be_used_by_the_upstreams():
    found = parse(with_paths("/v1/items/{id}/parts/{part_2}", "/p/{part_2}/{id}"))
    operation = found.operations["score-image"]
    assert operation.path == "/v1/items/{id}/parts/{part_2}"
    assert operation.upstream_path == "/p/{part_2}/{id}"


@pytest.mark.parametrize(
    ("path", "upstream_path", "where", "part"),
    [
        ("/v1/items/{id}", "/x/{other}", "route.upstream_path", 'uses "{other}"'),
        ("/v1/a/{id}/to/{id}", "/x/{id}", "route.path", 'names "{id}" twice'),
        ("/v1/{id}", "/x/{id}", "route.path", "belongs to Farebox itself"),
        ("/{a}/{b}/x", "/x/{a}", "route.path", "belongs to Farebox itself"),
        ("/{where}/v1", "/x/{where}", "route.path", "belongs to Farebox itself"),
        ("/v1/chat/{id}", "/x/{id}", "route.path", "belongs to Farebox itself"),
        ("/billing/{id}", "/x/{id}", "route.path", "belongs to Farebox itself"),
        ("/v1/items/{ID}", "/x", "route.path", "is not a path"),
        ("/v1/items/x{id}", "/x", "route.path", "is not a path"),
        ("/v1/items/{}", "/x", "route.path", "is not a path"),
        ("/v1/items", "/x/../y", "route.upstream_path", "is not a path"),
        ("/v1/./items", "/x", "route.path", "is not a path"),
    ],
)
def test_a_path_that_cannot_be_meant_is_refused(path, upstream_path, where, part):
    [line] = faults(with_paths(path, upstream_path))
    assert line.startswith(f"operations.score-image.{where}: ")
    assert part in line


def test_two_paths_that_match_alike_are_one_too_many():
    text = with_paths("/v1/items/{a}", "/a/{a}", EXAMPLE.replace("[plans.payg]", FURTHER))
    [line] = faults(text)
    assert line.startswith("operations.further.route.path: ")
    assert "is taken by score-image" in line
