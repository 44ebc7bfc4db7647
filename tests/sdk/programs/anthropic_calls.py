"""The calls of the cases, made with the official Anthropic SDK for Python."""

from typing import Any

from anthropic import AsyncAnthropic
from calling import serve

TOOL = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


async def call(url: str, case: dict[str, Any]) -> dict[str, Any]:
    client = AsyncAnthropic(
        base_url=url,
        api_key=case["key"],
        max_retries=case["retries"],
        timeout=case["timeout_s"],
        default_headers=case["headers"],
    )
    async with client:
        return await CALLS[case["call"]](client, case)


def _asked(case: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": case["text"]}]
    return {"model": case["model"], "max_tokens": 200, "messages": messages, **case["fields"]}


def _told(message: Any) -> dict[str, Any]:
    calls = [block for block in message.content if block.type == "tool_use"]
    return {
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "tools": [{"name": found.name, "input": found.input} for found in calls],
        "finish": message.stop_reason,
        "input_tokens": message.usage.input_tokens,
        "output_tokens": message.usage.output_tokens,
        "request_id": getattr(message, "_request_id", None),
    }


async def _json(client: AsyncAnthropic, case: dict[str, Any]) -> dict[str, Any]:
    return _told(await client.messages.create(**_asked(case)))


async def _stream(client: AsyncAnthropic, case: dict[str, Any]) -> dict[str, Any]:
    async with client.messages.stream(**_asked(case)) as stream:
        return _told(await stream.get_final_message())


async def _tools(client: AsyncAnthropic, case: dict[str, Any]) -> dict[str, Any]:
    return _told(await client.messages.create(tools=[TOOL], **_asked(case)))


async def _stream_tools(client: AsyncAnthropic, case: dict[str, Any]) -> dict[str, Any]:
    return await _stream(client, case | {"fields": case["fields"] | {"tools": [TOOL]}})


async def _count(client: AsyncAnthropic, case: dict[str, Any]) -> dict[str, Any]:
    asked = _asked(case)
    del asked["max_tokens"]
    counted = await client.messages.count_tokens(**asked)
    return {"input_tokens": counted.input_tokens}


CALLS = {
    "json": _json,
    "stream": _stream,
    "tools": _tools,
    "stream_tools": _stream_tools,
    "count": _count,
}


def failure(error: Any) -> dict[str, Any]:
    response = getattr(error, "response", None)
    return {
        "status": getattr(error, "status_code", None),
        "type": getattr(error, "type", None),
        "code": getattr(error, "error_code", None),
        "body": getattr(error, "body", None),
        "request_id": None if response is None else response.headers.get("request-id"),
    }


serve(call, failure)
