from services.gateway.headers import forwarded, ours, returned
from services.gateway.tracing import traceparent


def test_only_harmless_headers_go_up():
    given = [
        (b"authorization", b"Bearer secret"),
        (b"x-api-key", b"secret"),
        (b"cookie", b"a=b"),
        (b"host", b"here"),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"content-type", b"text/plain"),
        (b"accept", b"*/*"),
    ]
    assert forwarded(given) == {"content-type": "text/plain", "accept": "*/*"}


def test_only_what_is_the_answers_own_comes_down():
    given = {
        "Content-Type": "application/json",
        "Set-Cookie": "a=b",
        "X-RateLimit-Remaining": "7",
        "OpenAI-Organization": "ours",
        "X-Request-Id": "theirs",
        "Content-Length": "5",
        "Transfer-Encoding": "chunked",
        "Retry-After": "3",
    }
    assert dict(returned(given)) == {b"content-type": b"application/json", b"retry-after": b"3"}


def test_what_is_not_known_is_not_told():
    assert ours({"charged": None, "route": "a/b", "max-output-tokens": 5}) == (
        (b"farebox-route", b"a/b"),
        (b"farebox-max-output-tokens", b"5"),
    )


def test_a_trace_is_carried_on_or_begun():
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert traceparent([(b"traceparent", given.encode())]) == given
    begun = {traceparent([]), traceparent([(b"traceparent", b"rubbish")]), traceparent([])}
    assert len(begun) == 3
    assert all(len(one) == 55 for one in begun)
