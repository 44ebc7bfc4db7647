"""The recipe of docs/recipes/litellm.md, played: `python -m benchmarks.gateway.recipe`.

Farebox in front of the benchmark's LiteLLM in front of the stub: a whole answer and a stream, each
charged to the nano, and nothing charged where LiteLLM refuses.
"""

import tempfile
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.gateway.ours import farebox
from benchmarks.gateway.peers import KEY, Side, litellm, stub

CHARGE: Final = Decimal("0.0011")
_ASKED: Final[dict[str, Any]] = {
    "model": "swift-1",
    "max_tokens": 400,
    "messages": [{"role": "user", "content": "Say hello."}],
}


def main() -> None:
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        folder = Path(made)
        provider = stack.enter_context(stub())
        proxy = stack.enter_context(litellm(provider.port, folder))
        side, books = stack.enter_context(farebox(proxy.port, folder, upstream_key=KEY))
        for name, fields in (("whole", {}), ("stream", {"stream": True})):
            before = Decimal(books.total())
            answer = _post(side, fields)
            paid = before - Decimal(books.total())
            print(f"{name}: {answer.status_code}, {paid} paid, {CHARGE} expected")
            if not answer.is_success or paid != CHARGE:
                raise SystemExit(f"{name}: {answer.text[:500]}")
        print("the recipe holds")


def _post(side: Side, fields: dict[str, Any]) -> httpx.Response:
    url = f"http://127.0.0.1:{side.port}{side.path}"
    return httpx.post(url, json=_ASKED | fields, headers=dict(side.headers), timeout=60)


if __name__ == "__main__":
    main()
