"""The control API: what was asked so far, and what the next answers shall be.

- `GET /control/calls` → `{"count", "refused", "calls": [...]}`; `?path=/score` narrows it.
- `POST /control/script` takes one rule or a list of them:
  `{"script": {"status": 500}, "times": 2, "path": "/score", "contains": "text"}`.
- `POST /control/release` lets held answers go on.
- `POST /control/reset` forgets calls and rules and lets go of what is held.
"""

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from simulators.provider.calls import Record, Rule

_RULES: TypeAdapter[list[Rule] | Rule] = TypeAdapter(list[Rule] | Rule)


def add_routes(app: web.Application, record: Record) -> None:
    async def calls(request: web.Request) -> web.Response:
        summary = record.summary()
        if path := request.query.get("path"):
            summary["calls"] = [call for call in summary["calls"] if call["path"] == path]
            summary["refused"] = sum(call["outcome"] == "refused" for call in summary["calls"])
            summary["count"] = len(summary["calls"]) - summary["refused"]
        return web.json_response(summary)

    async def script(request: web.Request) -> web.Response:
        try:
            rules = _RULES.validate_json(await request.read())
        except ValidationError as error:
            return web.json_response({"error": str(error)}, status=400)
        record.rules.extend(rules if isinstance(rules, list) else [rules])
        return web.json_response({"rules": len(record.rules)})

    async def release(_request: web.Request) -> web.Response:
        record.release()
        return web.json_response({})

    async def reset(_request: web.Request) -> web.Response:
        record.reset()
        return web.json_response({})

    app.router.add_get("/control/calls", calls)
    app.router.add_post("/control/script", script)
    app.router.add_post("/control/release", release)
    app.router.add_post("/control/reset", reset)
