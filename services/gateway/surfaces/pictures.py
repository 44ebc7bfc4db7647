"""The images that a request of the OpenAI dialect carries: only those whose size can be read here.

The tokens of an image have nothing to do with its bytes; its size in pixels bounds them.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from libs.catalogue.images import Size
from services.gateway.errors import unsupported
from services.gateway.surfaces.image_size import base64_image_size
from services.gateway.surfaces.openai_fields import one_of

_DATA: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_details: Final = one_of("auto", "low", "high")


@dataclass(slots=True)
class Pictures:
    """All images of one request, and how many of its bytes they are."""

    sizes: list[Size | None] = field(default_factory=list)
    bytes: int = 0

    def take(self, where: str, url: Any, detail_where: str, detail: Any) -> None:
        """Note one image; raises Refusal where it is not in the request itself."""
        match = _DATA.match(url) if isinstance(url, str) else None
        if match is None:
            raise unsupported(where, "Sold are images in base64: data:image/png;base64,…")
        if detail is not None:
            _details(detail_where, detail)
        data = url[match.end() :]
        self.sizes.append(base64_image_size(data))
        # Of anything but base64 the bytes count, as those of a text.
        self.bytes += len(data) if _BASE64.fullmatch(data) else 0
