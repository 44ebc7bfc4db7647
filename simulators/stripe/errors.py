"""The errors that the API answers with.

ApiError: an answer with a status and an error object.
DroppedError: the connection ends without an answer.
"""

from typing import Any


class ApiError(Exception):
    """An error answer: `status` is HTTP's, `error` the JSON object under the key "error"."""

    def __init__(self, status: int, **error: Any) -> None:
        super().__init__(error.get("message", ""))
        self.status = status
        self.error = error

    def body(self) -> dict[str, Any]:
        return {"error": self.error}


class DroppedError(Exception):
    """The connection breaks before an answer is sent."""


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """400 invalid_request_error."""
    more = {"param": param, "code": code}
    return ApiError(
        400,
        type="invalid_request_error",
        message=message,
        **{key: value for key, value in more.items() if value is not None},
    )


def missing(kind: str, ident: str) -> ApiError:
    """404 for an object that does not exist."""
    return ApiError(
        404,
        type="invalid_request_error",
        code="resource_missing",
        param="id",
        message=f"No such {kind}: '{ident}'",
    )
