"""Which headers pass, and the ones that are ours."""

from collections.abc import Iterable, Mapping
from typing import Final

from services.gateway.errors import HeaderList

# Whatever is not listed stays here: the client's credentials, cookies and addresses never reach
# an upstream, and an upstream's limits and organization describe our account, not the client's.
_FORWARDED: Final = frozenset({b"content-type", b"accept", b"accept-language"})
_RETURNED: Final = frozenset(
    {
        "content-type",
        "content-language",
        "content-disposition",
        "openai-processing-ms",
        "openai-version",
        "retry-after",
        "retry-after-ms",
    }
)
_JSON: Final = (b"content-type", b"application/json")


def forwarded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The client's headers that go to an upstream with a call of an operation."""
    return chosen(headers, _FORWARDED)


def chosen(headers: Iterable[tuple[bytes, bytes]], names: frozenset[bytes]) -> dict[str, str]:
    """The client's headers of these lower-case names; a repeated one is a list of its values."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name in names:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def returned(headers: Mapping[str, str]) -> HeaderList:
    """The upstream's headers that go to the client."""
    return tuple(
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in headers.items()
        if name.lower() in _RETURNED
    )


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first value of a header, by its lower-case name."""
    return next((value for found, value in headers if found == name), None)


def request_ids(request_id: str) -> HeaderList:
    """The request's id, under our name and under the one the SDKs read."""
    value = request_id.encode()
    return ((b"x-request-id", value), (b"request-id", value), (b"farebox-request-id", value))


def json_headers(body: bytes) -> HeaderList:
    return (_JSON, (b"content-length", b"%d" % len(body)))


def ours(values: Mapping[str, str | int | None]) -> HeaderList:
    """`farebox-…` headers; what is not known is left out."""
    return tuple(
        (f"farebox-{name}".encode(), str(value).encode("latin-1", "replace"))
        for name, value in values.items()
        if value is not None
    )
