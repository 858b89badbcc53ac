"""Who may call: every combination of Host, Origin and token."""

from __future__ import annotations

import httpx
import pytest

from .fake import TOKEN, app_over, call, client_of, refusal

PAGE = "https://panel.example"


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8080", True),
        ("localhost:8080", True),
        ("LocalHost:8080", True),
        ("[::1]:8080", True),
        ("127.0.0.1", False),
        ("127.0.0.1:8081", False),
        ("localhost", False),
        ("localhost:8080.evil.example", False),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example:8080", False),
        ("0.0.0.0:8080", False),
        ("localhost.:8080", False),
        ("user@localhost:8080", False),
        ("", False),
    ],
)
async def test_host(host: str, allowed: bool) -> None:
    answer = await call("GET", "/status", headers={"host": host})
    if allowed:
        assert answer.status_code == 200
    else:
        assert refusal(answer) == (403, "host_not_allowed", "header.Host")


@pytest.mark.parametrize(
    ("configured", "host", "allowed"),
    [
        ("192.168.7.5", "192.168.7.5:8080", True),
        ("192.168.7.5", "192.168.7.6:8080", False),
        ("trader.lan", "Trader.LAN:8080", True),
        ("fd00::5", "[fd00::5]:8080", True),
        ("0.0.0.0", "evil.example:8080", False),
        ("0.0.0.0", "0.0.0.0:8080", False),
    ],
)
async def test_the_configured_host(configured: str, host: str, allowed: bool) -> None:
    answer = await call("GET", "/health", app=app_over(host=configured, token=TOKEN), headers={"host": host})
    assert answer.status_code == (200 if allowed else 403)


@pytest.mark.parametrize(
    ("arrived", "host"),
    [("10.1.2.3", "10.1.2.3:8080"), ("fd00::7", "[fd00::7]:8080"), ("::ffff:10.1.2.3", "10.1.2.3:8080")],
)
async def test_a_server_on_every_address_goes_by_the_one_it_was_called_at(arrived: str, host: str) -> None:
    url = f"http://[{arrived}]:8080" if ":" in arrived else f"http://{arrived}:8080"
    for configured, status in (("0.0.0.0", 200), ("127.0.0.1", 403)):
        async with client_of(app_over(host=configured, token=TOKEN), url) as client:
            answer = await client.get("/health", headers={"host": host})
        assert answer.status_code == status


async def test_port_0_means_the_port_that_was_taken() -> None:
    async with client_of(app_over(port=0), "http://127.0.0.1:50123") as client:
        assert (await client.get("/status")).status_code == 200
        assert (await client.get("/status", headers={"host": "127.0.0.1:0"})).status_code == 403


async def test_port_80_may_be_left_out() -> None:
    answer = await call("GET", "/status", app=app_over(port=80), headers={"host": "localhost"})
    assert answer.status_code == 200


async def test_two_hosts() -> None:
    async with client_of(app_over()) as client:
        answer = await client.get("/status", headers=[("host", "localhost:8080"), ("host", "localhost:8080")])
    assert refusal(answer) == (400, "bad_request", "header.Host")


@pytest.mark.parametrize(
    "method_path", ["GET /status", "GET /health", "PUT /control?action=stop", "GET /nothing"])
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:3000", "https://127.0.0.1:8080", "http://127.0.0.1", "file://",
     "http://127.0.0.1:8080.evil.example", "http://localhost:8080", ""],
)
async def test_no_page_of_another_origin_gets_in(method_path: str, origin: str) -> None:
    method, path = method_path.split()
    answer = await call(method, path, headers={"origin": origin})
    assert refusal(answer) == (403, "origin_not_allowed", "header.Origin")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_the_servers_own_pages_get_in() -> None:
    answer = await call("GET", "/status", headers={"origin": "http://127.0.0.1:8080"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)])
async def test_an_image_or_link_of_a_page_carries_no_origin(site: str, status: int) -> None:
    assert (await call("GET", "/status", headers={"sec-fetch-site": site})).status_code == status


async def test_two_origins() -> None:
    async with client_of(app_over(origins=(PAGE,))) as client:
        answer = await client.get("/status", headers=[("origin", PAGE), ("origin", "https://evil.example")])
    assert refusal(answer) == (403, "origin_not_allowed", "header.Origin")


@pytest.mark.parametrize("path", ["/status", "/nothing", "/status?x=1"])
async def test_a_listed_origin_may_read_the_answer(path: str) -> None:
    app = app_over(origins=(PAGE,))
    answer = await call("GET", path, app=app, headers={"origin": PAGE, "sec-fetch-site": "cross-site"})
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["vary"] == "origin"
    assert "access-control-allow-methods" not in answer.headers


async def _preflight(origin: str, *, token: str = "") -> httpx.Response:
    headers = {"origin": origin, "access-control-request-method": "PUT",
               "access-control-request-headers": "authorization"}
    app = app_over(origins=(PAGE,), token=token)
    return await call("OPTIONS", "/control?action=stop", app=app, headers=headers)


@pytest.mark.parametrize("token", ["", TOKEN])
async def test_a_preflight_of_a_listed_origin_needs_no_token(token: str) -> None:
    answer = await _preflight(PAGE, token=token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]


async def test_a_preflight_of_another_origin() -> None:
    answer = await _preflight("https://evil.example")
    assert refusal(answer) == (403, "origin_not_allowed", "header.Origin")
    assert answer.headers["vary"] == "origin"
    assert "access-control-allow-origin" not in answer.headers


async def test_options_without_a_preflight() -> None:
    assert refusal(await call("OPTIONS", "/status"))[:2] == (405, "method_not_allowed")


async def test_a_proxy_may_hand_on_the_host_of_a_listed_origin() -> None:
    answer = await call("GET", "/status", app=app_over(origins=(PAGE,)),
                        headers={"host": "panel.example", "origin": PAGE})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("authorization", "allowed"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        (None, False),
        ("", False),
        ("Bearer", False),
        ("Bearer ", False),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN[:-1]}", False),
        (f"Basic {TOKEN}", False),
        (TOKEN, False),
    ],
)
@pytest.mark.parametrize("path", ["/status", "/openapi.json", "/nothing", "/health/", "/ready"])
async def test_token(path: str, authorization: str | None, allowed: bool) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await call("GET", path, app=app_over(token=TOKEN), headers=headers)
    if allowed:
        assert answer.status_code in (200, 404)
    else:
        assert refusal(answer) == (401, "unauthorized", "header.Authorization")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text


async def test_a_token_of_odd_bytes() -> None:
    async with client_of(app_over(token=TOKEN)) as client:
        answer = await client.get("/status", headers=[(b"authorization", b"Bearer \xff\xfe\x80")])
    assert refusal(answer)[0] == 401


async def test_two_tokens() -> None:
    async with client_of(app_over(token=TOKEN)) as client:
        answer = await client.get("/status", headers=[("authorization", f"Bearer {TOKEN}")] * 2)
    assert refusal(answer)[0] == 401


async def test_health_needs_no_token_but_a_right_host() -> None:
    app = app_over(token=TOKEN)
    assert (await call("GET", "/health", app=app)).status_code == 200
    assert (await call("GET", "/health", app=app, headers={"host": "evil.example"})).status_code == 403


async def test_host_and_origin_are_checked_before_the_token() -> None:
    right = {"authorization": f"Bearer {TOKEN}"}
    app = app_over(token=TOKEN)
    for name, value in (("host", "evil.example"), ("origin", "https://evil.example")):
        answer = await call("GET", "/status", app=app, headers={**right, name: value})
        assert refusal(answer)[0] == 403
