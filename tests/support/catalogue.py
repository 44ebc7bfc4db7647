"""The example catalogues that tests share."""

from pathlib import Path

_ROOT = Path(__file__).parents[2]

LIMITS = 'limits = { requests = 600, per = "60s", concurrent = 32 }'
"""Of both plans of the example."""
NO_LIMITS = 'limits = { requests = 1_000_000, per = "1s", concurrent = 100_000 }'
"""What no test meets that does not ask for a limit."""

EXAMPLE = (_ROOT / "farebox.example.toml").read_text(encoding="utf-8").replace(LIMITS, NO_LIMITS)
WHOLE_GRAMMAR = (_ROOT / "tests/unit/libs/catalogue/whole_grammar.toml").read_text(encoding="utf-8")

ANTHROPIC = EXAMPLE.replace('sells = ["swift-1"]', 'sells = ["swift-1", "verse-1"]').replace(
    '[models."swift-1"]',
    """\
[upstreams.west]
shape = "anthropic"
base_url = "http://127.0.0.1:9100/v1"
key_env = "FAREBOX_UPSTREAM_WEST_KEY"
[upstreams.west.prices."verse-1-b"]
input = "3.00"
cached_input = "0.30"
cache_write = "3.75"
cache_write_1h = "6.00"
output = "15.00"
max_input = 200_000
max_output = 64_000
image_tokens_rule = "area"
image_tokens_max = 4_784

[models."verse-1"]
routes = ["west/verse-1-b"]

[models."swift-1"]""",
)
"""The example, which also sells a model of an Anthropic-shaped upstream."""
DIALECTS = {
    "openai": ("/v1/chat/completions", "swift-1"),
    "anthropic": ("/v1/messages", "verse-1"),
}
"""Of both dialects the path, and the model that is sold there."""
