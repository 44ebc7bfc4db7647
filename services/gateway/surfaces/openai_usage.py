"""The usage objects of the OpenAI dialect: the same counts under two sets of names."""

from typing import Any

from libs.catalogue import Usage
from services.gateway.meter import token_usage


def chat_usage(answer: dict[str, Any]) -> Usage | None:
    """Of chat and text completions."""
    return _usage(answer.get("usage"), "prompt_tokens", "completion_tokens")


def responses_usage(answer: dict[str, Any]) -> Usage | None:
    """Of responses."""
    return _usage(answer.get("usage"), "input_tokens", "output_tokens")


def embeddings_usage(answer: dict[str, Any]) -> Usage | None:
    """Of embeddings, which have no output."""
    usage = answer.get("usage")
    return _usage(usage | {"": 0}, "prompt_tokens", "") if isinstance(usage, dict) else None


def odd_tier(answer: dict[str, Any]) -> str | None:
    """The tier that an answer says it was served in, where that is not the one we sell.

    An upstream's own settings may choose another one for requests that name none.
    """
    tier = answer.get("service_tier")
    return None if tier in (None, "default", "auto") else f"service_tier={str(tier)[:32]}"


def detail(usage: dict[str, Any], of: str, name: str) -> Any:
    """One count of `<of>_details`; 0 where it is not told."""
    details = usage.get(f"{of}_details")
    count = details.get(name) if isinstance(details, dict) else None
    return 0 if count is None else count


def _usage(usage: Any, given: str, made: str) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    return token_usage(
        usage.get(given),
        detail(usage, given, "cached_tokens"),
        usage.get(made),
        cache_write_tokens=detail(usage, given, "cache_write_tokens"),
        image_input_tokens=detail(usage, given, "image_tokens"),
    )
