"""The OpenAPI 3.1 document, made from the operations and the structs they read and answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.routing import BaseRoute, Mount, Route

from ctcore import __version__
from ctcore.api.answers import ErrorAnswer
from ctcore.api.operations import Operation
from ctcore.api.parameters import REFERENCE, properties_of

_DESCRIPTION = (
    "Watch and control a running ctcore daemon. Names that end in _us are microseconds since 1970 UTC. "
    "Every answer of 400 and above has the error shape. A GET call answers HEAD as well."
)


def document(operations: Sequence[Operation], plugin_routes: Mapping[str, Sequence[BaseRoute]], *,
             asks_token: bool) -> dict[str, Any]:
    """The whole document as plain data."""
    paths: dict[str, Any] = {}
    for operation in operations:
        path = operation.path.replace(":path}", "}")
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, asks_token)
    for package, routes in plugin_routes.items():
        for path, item in _plugin_paths(package, routes, f"/plugins/{package}"):
            paths.setdefault(path, {}).update(item)
    components: dict[str, Any] = {"schemas": _schemas(operations)}
    if asks_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "ctcore", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": components,
    }
    return whole | ({"security": [{"token": []}]} if asks_token else {})


def _operation(operation: Operation, asks_token: bool) -> dict[str, Any]:
    refused = {400: ErrorAnswer, 403: ErrorAnswer, 500: ErrorAnswer}
    if asks_token and not operation.public:
        refused[401] = ErrorAnswer
    answers = {200: operation.answer, **refused, **operation.others}
    described: dict[str, Any] = {
        "operationId": _name_of(operation.method, operation.path),
        "summary": operation.summary,
        "responses": {str(status): _response(status, answers[status]) for status in sorted(answers)},
    }
    described["responses"]["default"] = _response(None, ErrorAnswer)
    parameters = [*_parameters(operation.path_parameters, "path"), *_parameters(operation.query, "query")]
    if parameters:
        described["parameters"] = parameters
    if asks_token and operation.public:
        described["security"] = []
    return described


def _parameters(shape: type[msgspec.Struct], where: str) -> list[dict[str, Any]]:
    required = {field.encode_name for field in msgspec.structs.fields(shape) if field.required}
    found = []
    for name, schema in properties_of(shape).items():
        inner = {key: value for key, value in schema.items() if key != "description"}
        found.append({
            "name": name, "in": where, "required": name in required,
            "description": schema.get("description", ""), "schema": inner,
        })
    return found


def _response(status: int | None, answer: type[msgspec.Struct] | None) -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(name=answer.__name__)} if answer is not None else {"type": "object"}
    description = "Any other refusal" if status is None else HTTPStatus(status).phrase
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    answers: list[type[msgspec.Struct]] = [ErrorAnswer]
    for operation in operations:
        answers.extend(shape for shape in (operation.answer, *operation.others.values()) if shape is not None)
    asked = {shape for operation in operations for shape in (operation.query, operation.path_parameters)}
    _, components = msgspec.json.schema_components([*dict.fromkeys(answers), *asked], ref_template=REFERENCE)
    parameters = {shape.__name__ for shape in asked}  # these stand with their operations, one by one
    return {name: schema for name, schema in sorted(components.items()) if name not in parameters}


def _plugin_paths(package: str, routes: Sequence[BaseRoute], below: str) -> list[tuple[str, dict[str, Any]]]:
    """What is known of a plugin's routes: their paths, methods and the first line of their docstrings."""
    found: list[tuple[str, dict[str, Any]]] = []
    for route in routes:
        if isinstance(route, Mount):
            found.extend(_plugin_paths(package, route.routes, below + route.path))
        elif isinstance(route, Route) and route.include_in_schema:
            path = below + route.path_format
            methods = sorted((route.methods or {"GET"}) - {"HEAD"})
            found.append((path, {
                method.lower(): _plugin_operation(package, route, method, path) for method in methods}))
    return found


def _plugin_operation(package: str, route: Route, method: str, path: str) -> dict[str, Any]:
    summary = (route.endpoint.__doc__ or route.name).strip().splitlines()[0]
    names = list(route.param_convertors)
    described: dict[str, Any] = {
        "operationId": _name_of(method, path),
        "summary": summary,
        "tags": [package],
        "responses": {"default": {"description": "As the plugin documents it"}},
    }
    if names:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    return described


def _name_of(method: str, path: str) -> str:
    words = "".join(char if char.isalnum() else " " for char in path.replace(":path}", "}")).split()
    return "_".join((method.lower(), *words))
