"""The part of the grammar that prices tokens and images: upstream prices and own ones."""

from libs.catalogue.images import IMAGE_RULES
from libs.catalogue.readers import Choice, PerMillion, PerPiece, Whole
from libs.catalogue.tables import Key, ListOf, Table

TOKENS = Whole(1, 100_000_000)


def _kinds() -> dict[str, Key]:
    """A rate for each kind of token; what is not named costs what plain tokens do."""
    return {
        "input": Key(PerMillion(), "Per million input tokens.", None),
        "cached_input": Key(
            PerMillion(), "Per million input tokens read from a cache; default: `input`.", None
        ),
        "cache_write": Key(
            PerMillion(), "Per million input tokens written to a cache; default: `input`.", None
        ),
        "cache_write_1h": Key(
            PerMillion(),
            "Per million input tokens written to a cache for an hour; default: `cache_write`.",
            None,
        ),
        "image_input": Key(
            PerMillion(), "Per million input tokens that are images; default: `input`.", None
        ),
        "output": Key(
            PerMillion(), "Per million output tokens; a model with `max_output` 0 needs none.", None
        ),
        "image_output": Key(
            PerMillion(), "Per million output tokens that are images; default: `output`.", None
        ),
    }


_TIER = Table(
    {
        "above": Key(TOKENS, "Input tokens above which it holds, for all tokens.", example="1"),
        **_kinds(),
    }
)
_RATES: dict[str, Key] = {
    **_kinds(),
    "image": Key(PerPiece(), "For each image of an answer that is sold by the piece.", None),
    "second": Key(None, "Price of a second of sound.", default=None, later=True),
    "tiers": Key(
        ListOf(_TIER),
        "Dearer rates of long requests, ascending: `{ above = 272_000, input = … }`.",
        None,
    ),
}
PRICE = Table(
    {
        **_RATES,
        "max_input": Key(TOKENS, "Largest input the model takes, tokens.", example="400_000"),
        "max_output": Key(
            Whole(0, 100_000_000),
            "Largest output the model gives, tokens; 0: none, as of an embedding.",
            example="32_000",
        ),
        "image_tokens_max": Key(
            TOKENS, "Most tokens that one image can count; none: takes no images.", None
        ),
        "image_tokens_rule": Key(
            Choice(IMAGE_RULES),
            "How an image's tokens follow from its size (docs/concepts/prices.md); default: each "
            "counts `image_tokens_max`.",
            None,
        ),
    }
)
RETAIL = Table(_RATES)
