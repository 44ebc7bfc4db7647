from libs.catalogue import parse
from services.gateway.upstreams import Upstreams
from tests.support.catalogue import EXAMPLE

CATALOGUE = parse(EXAMPLE)


def upstreams(**environment: str) -> Upstreams:
    return Upstreams(CATALOGUE, answer_max=1, environment=environment)


def test_a_missing_key_is_named():
    assert upstreams(FAREBOX_UPSTREAM_NORTH_KEY="k").without_key == ["south", "scorer"]


def test_the_clients_query_follows_the_upstreams_path():
    scorer = CATALOGUE.upstreams["scorer"]
    mine = upstreams()
    assert str(mine._url(scorer, "/score", "")) == "http://127.0.0.1:9100/score"
    query = "a=1&b=x%20y+z&c=%26%C3%A9&c="
    assert str(mine._url(scorer, "/score", query)) == f"http://127.0.0.1:9100/score?{query}"
