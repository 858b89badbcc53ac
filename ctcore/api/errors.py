"""Refusals and failures of the API: the one shape they are told in. A traceback goes to the log only."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http import HTTPStatus

from loguru import logger
from msgspec import UNSET
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response

from ctcore.api.answers import ErrorAnswer, ErrorDetail, JsonAnswer
from ctcore.errors import ConfigError, CtcoreError, UnknownInstrument
from ctcore.runtime.contain import Failure
from ctcore.runtime.redact import redact

_LONGEST = 1_000


class ApiError(HTTPException):
    """A call that is refused. ``place`` names what is wrong with it: ``query.depth``, ``header.Host``."""

    def __init__(self, status: int, code: str, message: str, *, place: str | None = None,
                 headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.code = code
        self.place = place

    def answer(self) -> JsonAnswer:
        """What the caller is told."""
        return error_answer(self.status_code, self.code, self.detail, place=self.place, headers=self.headers)


def error_answer(status: int, code: str, message: str, *, place: str | None = None, error_id: str = "",
                 headers: Mapping[str, str] | None = None) -> JsonAnswer:
    """The error shape; ``message`` is cut where it gets too long."""
    text = message if len(message) <= _LONGEST else message[:_LONGEST] + "…"
    return JsonAnswer(ErrorAnswer(ErrorDetail(code, text, place, error_id or UNSET)), status, headers)


async def answer_refusal(connection: HTTPConnection, error: Exception) -> Response:
    """Starlette's handler for what routing, plugins and ctcore itself raise as an HTTP answer."""
    if isinstance(error, ApiError):
        return error.answer()
    if not isinstance(error, HTTPException):
        raise error  # registered for HTTPException only
    status = error.status_code
    if status < HTTPStatus.BAD_REQUEST:
        return Response(status_code=status, headers=error.headers)
    if status == HTTPStatus.NOT_FOUND:
        message = f"there is nothing at {connection.url.path}; /openapi.json lists what there is"
        return error_answer(status, "not_found", message, place="path")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        message = f"Method not allowed; {connection.url.path} takes {allowed}"
        return error_answer(status, "method_not_allowed", message, place="method", headers={"Allow": allowed})
    return error_answer(status, _code_of(status), error.detail, headers=error.headers)


def answer_failure(failure: Failure, call: str) -> JsonAnswer:
    """What the caller is told of an error; ``call`` names the call in the log.

    An error that ctcore raises on purpose is told as it is. Any other is logged under a short id, and the
    caller learns nothing but this id.
    """
    first = failure.errors[0]
    if failure.expected and isinstance(first, CtcoreError):
        status, code = _status_of(first)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.warning("API: {} was answered {}: {}", call, status, failure.text)
        return error_answer(status, code, redact(str(first)))
    error_id = secrets.token_hex(4)
    cause = first if len(failure.errors) == 1 else failure.group
    logger.opt(exception=cause).error("API: {} failed (id {}): {}", call, error_id, failure.text)
    message = f"internal error {error_id}; the log tells more under this id"
    return error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", message, error_id=error_id)


def _status_of(error: CtcoreError) -> tuple[int, str]:
    if isinstance(error, UnknownInstrument):
        return HTTPStatus.NOT_FOUND, "unknown_instrument"
    if isinstance(error, ConfigError):
        return HTTPStatus.CONFLICT, "configuration"
    if error.retry:
        return HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"
    return HTTPStatus.INTERNAL_SERVER_ERROR, "failed"


def _code_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")
    except ValueError:
        return "error"
