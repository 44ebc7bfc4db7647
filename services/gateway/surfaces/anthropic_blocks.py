"""The blocks of an Anthropic message's content: which may pass, and what they cost beside text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from libs.catalogue.images import Size
from services.gateway.errors import invalid, unsupported
from services.gateway.surfaces.image_size import base64_image_size
from services.gateway.surfaces.openai_fields import listed, one_of, only

_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "text": frozenset({"type", "text", "cache_control", "citations"}),
    "image": frozenset({"type", "source", "cache_control"}),
    "search_result": frozenset(
        {"type", "source", "title", "content", "citations", "cache_control"}
    ),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
    "tool_use": frozenset({"type", "id", "name", "input", "caller", "cache_control"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
}
_IN_RESULTS: Final = ("text", "image", "search_result")
_IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")


@dataclass(slots=True)
class BlockReader:
    """Reads the blocks of one request and remembers what the bound must know of them."""

    images: list[Size | None] = field(default_factory=list)
    """The size of each image; None where it cannot be read."""
    image_bytes: int = 0
    """How long the data of the images is in the request."""
    hour_cache: bool = False
    """Whether something is to be cached for an hour."""

    def system(self, value: Any) -> None:
        if value is not None and not isinstance(value, str):
            self._blocks("system", value, ("text",))

    def content(self, where: str, value: Any, kinds: tuple[str, ...] = tuple(_KNOWN)) -> None:
        if not isinstance(value, str):
            self._blocks(where, value, kinds)

    def cache(self, where: str, value: Any) -> None:
        if value is None:
            return
        if not isinstance(value, dict):
            raise invalid(f"'{where}' must be an object.", where)
        only(value, ("type", "ttl"), where)
        one_of("ephemeral")(f"{where}.type", value.get("type"))
        if value.get("ttl") is not None:
            one_of("5m", "1h")(f"{where}.ttl", value["ttl"])
            self.hour_cache |= value["ttl"] == "1h"

    def _blocks(self, where: str, value: Any, kinds: tuple[str, ...]) -> None:
        for index, block in enumerate(listed(where, value)):
            place = f"{where}[{index}]"
            if not isinstance(block, dict):
                raise invalid(f"'{place}' must be an object.", place)
            # Documents and what hosted tools found have a price that their bytes do not tell.
            kind: Any = block.get("type")
            one_of(*kinds)(f"{place}.type", kind)
            only(block, _KNOWN[kind], place)
            self.cache(f"{place}.cache_control", block.get("cache_control"))
            self._inside(kind, place, block)

    def _inside(self, kind: str, where: str, block: Mapping[str, Any]) -> None:
        match kind:
            case "image":
                self._image(where, block)
            case "tool_result" if block.get("content") is not None:
                self.content(f"{where}.content", block["content"], _IN_RESULTS)
            case "search_result":
                self._blocks(f"{where}.content", block.get("content"), ("text",))
            case "tool_use" if block.get("caller") not in (None, {"type": "direct"}):
                raise unsupported(f"{where}.caller", "Sold are tools that the client runs itself.")

    def _image(self, where: str, block: Mapping[str, Any]) -> None:
        source = block.get("source")
        if not isinstance(source, dict) or source.get("type") != "base64":
            raise unsupported(f"{where}.source.type", "Sold are images in base64.")
        only(source, ("type", "media_type", "data"), f"{where}.source")
        one_of(*_IMAGE_TYPES)(f"{where}.source.media_type", source.get("media_type"))
        data = source.get("data")
        if not isinstance(data, str):
            raise invalid(f"'{where}.source.data' must be a text.", f"{where}.source.data")
        self.images.append(base64_image_size(data))
        # Of anything but base64 the bytes count, as those of a text.
        self.image_bytes += len(data) if data.isascii() else 0
