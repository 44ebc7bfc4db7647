"""An image in a request is bounded by its size in pixels, or by the most that any can count."""

import base64
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue.images import image_tokens
from services.gateway.errors import Refusal
from services.gateway.surfaces.image_size import base64_image_size
from services.gateway.surfaces.openai_chat import OpenAIChat
from services.gateway.surfaces.openai_responses import OpenAIResponses
from tests.unit.services.gateway.offering import offer

pytestmark = pytest.mark.requirement("PRC-2", "PRC-7")

chat, responses = OpenAIChat(), OpenAIResponses()
MOST, RULE = 20_000, "patches"


def png(width: int, height: int, rest: bytes = b"") -> str:
    size = width.to_bytes(4) + height.to_bytes(4)
    return base64.b64encode(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + size + rest).decode()


def jpeg(width: int, height: int) -> str:
    size = height.to_bytes(2) + width.to_bytes(2)
    head = b"\xff\xd8\xff\xe1\x00\x06abcd\xff\xff\xc2\x00\x0b\x08"
    return base64.b64encode(head + size + b"\x03\x01").decode()


def in_chat(url: str, **more: object) -> bytes:
    part = {"type": "image_url", "image_url": {"url": url} | more}
    return orjson.dumps({"model": "swift-1", "messages": [{"role": "user", "content": [part]}]})


def in_response(url: str, **more: object) -> bytes:
    part = {"type": "input_image", "image_url": url} | more
    return orjson.dumps({"model": "swift-1", "input": [{"role": "user", "content": [part]}]})


SMALL = png(10, 10, b"x" * 99)
BOTH = [(chat, in_chat), (responses, in_response)]


def sold(most: int | None = MOST, rule: str | None = RULE):
    plain = offer()
    [candidate] = plain.candidates
    price = replace(candidate.price, image_tokens_max=most, image_tokens_rule=rule)
    return replace(plain, candidates=(replace(candidate, price=price),))


def counted(surface, body: bytes) -> int:
    """The input tokens of the bound beside those of the text."""
    return surface.bound(surface.parse(body), sold()).input_tokens - 1024


@pytest.mark.parametrize(("surface", "carry"), BOTH)
def test_an_image_counts_by_its_pixels_not_by_its_bytes(surface, carry):
    small = carry("data:image/png;base64," + png(4032, 3024))
    large = carry("data:image/png;base64," + png(4032, 3024, b"x" * 30_000))
    text = len(carry("data:image/png;base64,"))
    # A quarter of an image's base64 may be its padding, so the text is the same but for that.
    assert counted(surface, small) == text + image_tokens((4032, 3024), RULE, MOST)
    assert counted(surface, large) == counted(surface, small)
    photo = carry("data:image/jpeg;base64," + jpeg(4032, 3024))
    assert counted(surface, photo) == counted(surface, small) + 1


@pytest.mark.parametrize(("surface", "carry"), BOTH)
@pytest.mark.parametrize(
    "data",
    ["", "aGVsbG8=", png(0, 9), png(10, 10)[:20], "R0lGODlhAQABAAAAACw=", "ä" * 9,
     # Another decoder may read what ours would skip.
     SMALL[:12] + "----" + SMALL[12:], " " + SMALL, SMALL[:16] + "=" + SMALL[16:]],
)  # fmt: skip
def test_an_image_that_cannot_be_read_counts_the_most(surface, carry, data: str):
    assert counted(surface, carry("data:image/png;base64," + data)) >= MOST


@pytest.mark.parametrize(("surface", "carry"), BOTH)
def test_what_is_no_base64_counts_as_text_too(surface, carry):
    assert counted(surface, carry("data:image/png;base64," + "no base64! " * 999)) > MOST + 10_000


@pytest.mark.parametrize(("surface", "carry"), BOTH)
@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("https://x.example/a.png", {}),
        ("file:///etc/passwd", {}),
        ("data:image/svg+xml;base64,AAAA", {}),
        ("data:application/pdf;base64,AAAA", {}),
        ("data:image/png,AAAA", {}),
        ("data:image/png;base64," + png(9, 9), {"detail": "original"}),
        ("data:image/png;base64," + png(9, 9), {"file_id": "file-1"}),
        ("data:image/png;base64," + png(9, 9), {"detail": ["low"]}),
        (None, {}),
    ],
)
def test_an_image_that_is_not_in_the_request_is_refused_by_name(surface, carry, url, more):
    with pytest.raises(Refusal) as caught:
        surface.parse(carry(url, **more))
    assert (caught.value.status, caught.value.code) == (400, "unsupported_parameter")
    assert "[0].content[0]." in caught.value.param


@pytest.mark.parametrize(("surface", "carry"), BOTH)
def test_a_model_without_a_price_for_images_takes_none(surface, carry):
    parsed = surface.parse(carry("data:image/png;base64," + png(9, 9)))
    with pytest.raises(Refusal) as caught:
        surface.bound(parsed, sold(most=None, rule=None))
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", surface.carrier)


@given(st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1), st.binary(max_size=9))
def test_the_size_in_a_header_is_read(width: int, height: int, rest: bytes):
    assert base64_image_size(png(width, height, rest)) == (width, height)
    width, height = width % 2**16, height % 2**16
    assert base64_image_size(jpeg(width, height)) == (width, height)


@given(st.text("iVBORw0KGgo/9jABCD+=-_ \n", max_size=60))
def test_whatever_stands_there_is_read_or_not(data: str):
    size = base64_image_size(data)
    assert size is None or min(size) >= 0


def test_a_prediction_counts_as_output_of_every_choice():
    body = {"model": "swift-1", "messages": [{"role": "user", "content": "a"}], "n": 2}
    text = {"type": "content", "content": [{"type": "text", "text": "x" * 700}]}
    parsed = chat.parse(orjson.dumps(body | {"prediction": text}))
    assert parsed.beside >= 1400
    assert orjson.loads(chat.prepare(parsed, offer().candidates[0], 5))["prediction"] == text
    picture = {"type": "content", "content": [{"type": "image_url", "image_url": {}}]}
    with pytest.raises(Refusal) as caught:
        chat.parse(orjson.dumps(body | {"prediction": picture}))
    assert caught.value.param == "prediction.content[0].type"
