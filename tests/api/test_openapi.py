"""The document against the routes that are there and the answers they give."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from ctcore.errors import StorageError

from .fake import TOKEN, FakeTarget, app_over, call
from .schema import problems
from .test_gate import PLUGIN

BOOK = "/books/{exchange}/{market}/{pair}"


async def _document(app: Starlette, token: str = "") -> dict[str, Any]:
    answer = await call("GET", "/openapi.json", app=app, headers={"authorization": f"Bearer {token}"})
    found: dict[str, Any] = answer.json()
    return found


def _served(app: Starlette, below: str = "", routes: Any = None) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for route in app.routes if routes is None else routes:
        if isinstance(route, Mount):
            found |= _served(app, below + route.path, route.routes)
        elif isinstance(route, Route):
            methods = set(route.methods or ()) - {"HEAD"}
            found |= {(below + route.path_format, method) for method in methods}
    return found


async def test_every_route_is_in_the_document_and_nothing_else() -> None:
    app = app_over(plugin_routes=PLUGIN)
    paths = (await _document(app))["paths"]
    assert {(path, method.upper()) for path, item in paths.items() for method in item} == _served(app)
    assert ("/plugins/ctdaemon-demo/deep/{name}/{rest}", "GET") in _served(app)
    assert paths["/plugins/ctdaemon-demo/echo"]["post"]["summary"] == "Say how long the body was."


async def test_names_and_references_are_sound() -> None:
    document = await _document(app_over(plugin_routes=PLUGIN))
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    there = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(re.findall(r"'\$ref': '([^']*)'", str(document))) == there
    for path, item in document["paths"].items():
        for operation in item.values():
            named = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))


async def test_parameters() -> None:
    operation = (await _document(app_over()))["paths"][BOOK]["get"]
    parameters = {each["name"]: each for each in operation["parameters"]}
    assert [(name, each["in"], each["required"]) for name, each in parameters.items()] == [
        ("exchange", "path", True), ("market", "path", True), ("pair", "path", True),
        ("depth", "query", False), ("at", "query", False),
    ]
    assert parameters["depth"]["schema"] == {"type": "integer", "minimum": 0, "maximum": 5_000, "default": 20}


ANSWERS = [
    ("PUT", "/control?action=stop", "/control", FakeTarget(), 200),
    ("PUT", "/control?action=start", "/control", FakeTarget(broken=StorageError("x")), 503),
    ("PUT", "/control", "/control", FakeTarget(), 400),
    ("GET", "/status", "/status", FakeTarget(), 200),
    ("GET", "/status", "/status", FakeTarget(running=False, started_us=None, error="x"), 200),
    ("GET", "/status", "/status", FakeTarget(broken=RuntimeError("x")), 500),
    ("GET", "/version", "/version", FakeTarget(), 200),
    ("GET", "/health", "/health", FakeTarget(), 200),
    ("GET", "/ready", "/ready", FakeTarget(), 200),
    ("GET", "/ready", "/ready", FakeTarget(missing={"sinks": ["x"]}), 503),
    ("GET", "/services", "/services", FakeTarget(), 200),
    ("GET", "/streams", "/streams", FakeTarget(), 200),
    ("GET", "/gauges", "/gauges", FakeTarget(), 200),
    ("GET", "/plugins", "/plugins", FakeTarget(), 200),
    ("GET", "/openapi.json", "/openapi.json", FakeTarget(), 200),
    ("GET", "/books/binance/spot/BTC/USDT", BOOK, FakeTarget(), 200),
    ("GET", "/books/binance/spot/BTC/USDT?at=1769860800", BOOK, FakeTarget(), 200),
    ("GET", "/books/binance/spot/DOGE/USDT", BOOK, FakeTarget(), 404),
    ("GET", "/books/binance/spot/BTC", BOOK, FakeTarget(), 400),
]


@pytest.mark.parametrize(("method", "path", "template", "target", "status"), ANSWERS)
async def test_answers_are_as_documented(method: str, path: str, template: str, target: FakeTarget,
                                         status: int) -> None:
    app = app_over(target)
    document = await _document(app)
    answer = await call(method, path, app=app)
    assert answer.status_code == status
    described = document["paths"][template][method.lower()]["responses"][str(status)]
    assert problems(answer.json(), described["content"]["application/json"]["schema"], document) == []


async def test_every_path_is_among_the_answers_above() -> None:
    answered = {template for _, _, template, _, status in ANSWERS if status == 200}
    assert answered == set((await _document(app_over()))["paths"])


async def test_a_token_is_documented_where_it_is_needed() -> None:
    document = await _document(app_over(token=TOKEN), TOKEN)
    assert document["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}
    assert document["security"] == [{"token": []}]
    assert document["paths"]["/health"]["get"]["security"] == []
    assert "401" in document["paths"]["/status"]["get"]["responses"]
    assert "security" not in await _document(app_over())
