"""Generated images: bounded by size, quality and number, or refused."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Rates, Usage
from services.gateway.errors import Refusal
from services.gateway.estimate import estimated_usage
from services.gateway.meter import UpstreamBrokenError, believable
from services.gateway.surfaces.images_fields import tokens_of_one
from services.gateway.surfaces.openai_images import ImagesMeter, OpenAIImages
from tests.unit.services.gateway.offering import offer

images = OpenAIImages()
PNG = {"b64_json": "aGVsbG8="}


def raw(**fields) -> bytes:
    return orjson.dumps({"model": "swift-1", "prompt": "a cat"} | fields)


def sold(upstream_model: str = "paint-1", rates: Rates | None = None, max_output: int = 9000):
    plain = offer(max_output=max_output, input_pico=5_000_000, output_pico=10_000_000)
    [candidate] = plain.candidates
    rates = rates or replace(candidate.price.rates, image_output=32_000_000)
    price = replace(candidate.price, rates=rates)
    candidate = replace(candidate, price=price, upstream_model=upstream_model)
    return replace(plain, candidates=(candidate,))


BY_PIECE = sold(rates=Rates(0, 0, 0, 0, 0, 0, 0, image=4 * 10**10), max_output=1)


@pytest.mark.requirement("PRC-2")
@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"size": "1024x1024", "quality": "low"}, 272),
        ({"size": "1536x1024", "quality": "medium"}, 1568),
        ({"size": "1024x1536", "quality": "high"}, 6240),
        ({"size": "1024x1024"}, 4160),
        ({"size": "1024x1024", "quality": "auto"}, 4160),
        ({"quality": "low"}, 408),
        ({"size": "auto", "quality": "low"}, 408),
        ({}, 6240),
        ({"quality": "xhigh", "size": "1024x1024"}, 4160),
        ({"size": "2048x2048", "quality": "low"}, 9000),
    ],
)
def test_a_picture_counts_what_is_documented_and_auto_is_the_most(fields: dict, tokens: int):
    [candidate] = sold("gpt-image-1").candidates
    assert tokens_of_one(candidate, fields) == tokens
    [candidate] = sold("gpt-image-1-more").candidates
    assert tokens_of_one(candidate, fields) == 9000


@pytest.mark.requirement("PRC-2")
@given(
    st.integers(1, 10),
    st.sampled_from([None, "auto", "1024x1024", "1536x1024", "512x512"]),
    st.sampled_from([None, "auto", "low", "high", "hd"]),
    st.sampled_from(["gpt-image-1", "paint-1"]),
    st.integers(0, 9000),
)
def test_pictures_within_their_tokens_never_cost_more(n, size, quality, model, each):
    one = sold(model)
    parsed = images.parse(raw(n=n, size=size, quality=quality))
    bound = images.bound(parsed, one)
    assert (bound.cap, bound.at_least) == (0, bound.amount)
    [candidate] = one.candidates
    made = n * min(each, tokens_of_one(candidate, parsed.fields))
    usage = Usage(len("a cat") + 1024, 0, made, image_output_tokens=made, images=n)
    assert one.charge(usage, candidate).charge <= bound.amount
    told = estimated_usage(bound, cap=0, sent=parsed.size, delivered=10**6)
    assert one.charge(told, candidate).charge <= bound.amount


@pytest.mark.requirement("PRC-7", "PRC-2")
def test_a_model_sold_by_the_piece_costs_its_price_for_each():
    parsed = images.parse(raw(n=3, size="1024x1024", quality="standard"))
    bound = images.bound(parsed, BY_PIECE)
    assert bound.by_piece
    assert bound.amount == 3 * 4 * 10**7 * 11 // 10
    usage = estimated_usage(bound, cap=0, sent=100, delivered=2)
    assert usage.images == 2
    assert BY_PIECE.charge(usage, BY_PIECE.candidates[0]).charge == 2 * 4 * 10**7 * 11 // 10


@pytest.mark.requirement("PRC-7")
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"quality": "hd"}, "quality"),
        ({"quality": "high"}, "quality"),
        ({"size": "1792x1024"}, "size"),
    ],
)
def test_what_makes_a_piece_dearer_is_refused_by_name(fields: dict, param: str):
    with pytest.raises(Refusal) as caught:
        images.bound(images.parse(raw(**fields)), BY_PIECE)
    assert (caught.value.status, caught.value.code, caught.value.param) == (
        400,
        "unsupported_parameter",
        param,
    )


@pytest.mark.requirement("PRC-7")
@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("stream", True, "unsupported_parameter"),
        ("partial_images", 2, "unsupported_parameter"),
        ("output_format", "svg", "unsupported_parameter"),
        ("output_format", "gif", "unsupported_parameter"),
        ("quality", "ultra", "unsupported_parameter"),
        ("quality", ["low"], "unsupported_parameter"),
        ("svg", {"model": "x"}, "unsupported_parameter"),
        ("frame_count", 9, "unsupported_parameter"),
        ("complexity", "high", "unsupported_parameter"),
        ("image", "aGVsbG8=", "unsupported_parameter"),
        ("service_tier", "priority", "unsupported_parameter"),
        ("n", 0, "invalid_value"),
        ("n", 11, "invalid_value"),
        ("size", "huge", "invalid_value"),
        ("size", 1024, "invalid_value"),
        ("prompt", "", "invalid_value"),
        ("prompt", ["a"], "invalid_value"),
    ],
)
def test_an_option_without_a_price_is_refused_by_name(field: str, value, code: str):
    with pytest.raises(Refusal) as caught:
        images.parse(raw(**{field: value}))
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, field)


def test_what_costs_nothing_goes_up_unchanged_under_the_upstreams_name():
    body = raw(n=2, size="1024x1024", background="transparent", output_format="webp", stream=False)
    sent = orjson.loads(images.prepare(images.parse(body), sold().candidates[0], 0))
    assert sent == orjson.loads(body) | {"model": "paint-1"}


def metered(**answer) -> ImagesMeter:
    meter = ImagesMeter()
    meter.whole(orjson.dumps({"data": [PNG, PNG]} | answer))
    return meter


USAGE = {"input_tokens": 9, "output_tokens": 544, "input_tokens_details": {"text_tokens": 9}}


@pytest.mark.requirement("PRC-7")
def test_output_of_no_told_kind_is_pictures_never_cheaper_text():
    assert believable(metered(usage=USAGE)) == Usage(9, 0, 544, image_output_tokens=544, images=2)
    split = USAGE | {"output_tokens_details": {"image_tokens": 500, "text_tokens": 44}}
    assert believable(metered(usage=split)).image_output_tokens == 500


@pytest.mark.parametrize(
    "usage", [None, {}, {"input_tokens": 0, "output_tokens": 0}, USAGE | {"output_tokens": "5"}]
)
def test_without_a_believable_usage_the_pictures_are_counted(usage):
    meter = metered(usage=usage)
    assert believable(meter) is None
    assert meter.delivered == 2


@pytest.mark.parametrize("body", [b"", b"[]", b'{"error": {"message": "no"}}'])
def test_what_is_no_answer_is_not_charged(body: bytes):
    with pytest.raises(UpstreamBrokenError):
        ImagesMeter().whole(body)
