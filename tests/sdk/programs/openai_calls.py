"""The calls of the cases, made with the official OpenAI SDK for Python."""

from typing import Any

from calling import serve
from openai import AsyncOpenAI


async def call(url: str, case: dict[str, Any]) -> dict[str, Any]:
    client = AsyncOpenAI(
        base_url=f"{url}/v1",
        api_key=case["key"],
        max_retries=case["retries"],
        timeout=case["timeout_s"],
        default_headers=case["headers"],
    )
    async with client:
        return await CALLS[case["call"]](client, case)


def _asked(case: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": case["text"]}]
    return {"model": case["model"], "messages": messages, **case["fields"]}


async def _json(client: AsyncOpenAI, case: dict[str, Any]) -> dict[str, Any]:
    answer = await client.chat.completions.create(**_asked(case))
    [choice] = answer.choices
    return {
        "text": choice.message.content,
        "finish": choice.finish_reason,
        "output_tokens": answer.usage.completion_tokens,
        "request_id": answer._request_id,
    }


async def _stream(client: AsyncOpenAI, case: dict[str, Any]) -> dict[str, Any]:
    stream = await client.chat.completions.create(stream=True, **_asked(case))
    text, finish = "", None
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return {"text": text, "finish": finish}


CALLS = {"json": _json, "stream": _stream}


def failure(error: Any) -> dict[str, Any]:
    response = getattr(error, "response", None)
    return {
        "status": getattr(error, "status_code", None),
        "type": getattr(error, "type", None),
        "code": getattr(error, "code", None),
        "param": getattr(error, "param", None),
        "body": getattr(error, "body", None),
        "request_id": None if response is None else error.request_id,
    }


serve(call, failure)
