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


async def _tools(client: AsyncOpenAI, case: dict[str, Any]) -> dict[str, Any]:
    answer = await client.chat.completions.create(tools=_TOOLS, **_asked(case))
    [called] = answer.choices[0].message.tool_calls
    return {
        "name": called.function.name,
        "arguments": called.function.arguments,
        "finish": answer.choices[0].finish_reason,
    }


async def _tools_stream(client: AsyncOpenAI, case: dict[str, Any]) -> dict[str, Any]:
    asked = _asked(case) | {"stream_options": {"include_usage": True}}
    stream = await client.chat.completions.create(tools=_TOOLS, stream=True, **asked)
    found: dict[str, Any] = {"name": None, "arguments": "", "usages": 0}
    async for chunk in stream:
        found["usages"] += chunk.usage is not None
        for choice in chunk.choices:
            found["finish"] = choice.finish_reason
            for called in choice.delta.tool_calls or ():
                found["name"] = called.function.name or found["name"]
                found["arguments"] += called.function.arguments or ""
    return found


def _input(case: dict[str, Any]) -> dict[str, Any]:
    return {"model": case["model"], "input": case["text"], **case["fields"]}


async def _response(client: AsyncOpenAI, case: dict[str, Any]) -> dict[str, Any]:
    answer = await client.responses.create(**_input(case))
    return _told(answer)


async def _response_stream(client: AsyncOpenAI, case: dict[str, Any]) -> dict[str, Any]:
    said, events, last = "", [], None
    async for event in await client.responses.create(stream=True, **_input(case)):
        events.append(event.type)
        said += event.delta if event.type == "response.output_text.delta" else ""
        last = event
    return _told(last.response) | {"said": said, "first": events[0]}


def _told(answer: Any) -> dict[str, Any]:
    return {
        "text": answer.output_text,
        "status": answer.status,
        "output_tokens": answer.usage.output_tokens,
    }


async def _completion(client: AsyncOpenAI, case: dict[str, Any]) -> dict[str, Any]:
    asked = {"model": case["model"], "prompt": case["text"], **case["fields"]}
    answer = await client.completions.create(**asked)
    stream = await client.completions.create(stream=True, **asked)
    said = [chunk.choices[0].text async for chunk in stream]
    return {"text": answer.choices[0].text, "said": "".join(said)}


async def _embeddings(client: AsyncOpenAI, case: dict[str, Any]) -> dict[str, Any]:
    answer = await client.embeddings.create(**_input(case))
    return {
        "lengths": [len(one.embedding) for one in answer.data],
        "tokens": answer.usage.prompt_tokens,
    }


async def _image(client: AsyncOpenAI, case: dict[str, Any]) -> dict[str, Any]:
    answer = await client.images.generate(
        model=case["model"], prompt=case["text"], **case["fields"]
    )
    return {"images": [one.b64_json[:8] for one in answer.data]}


async def _models(client: AsyncOpenAI, case: dict[str, Any]) -> dict[str, Any]:
    listed = [model.id async for model in client.models.list()]
    return {"listed": listed, "one": (await client.models.retrieve(case["model"])).id}


_TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CALLS = {
    "json": _json,
    "stream": _stream,
    "tools": _tools,
    "tools_stream": _tools_stream,
    "response": _response,
    "response_stream": _response_stream,
    "completion": _completion,
    "embeddings": _embeddings,
    "image": _image,
    "models": _models,
}


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
