from __future__ import annotations

import pytest
from ctdaemon_binance.driver import BinanceDriver
from ctdaemon_binance.faults import ERROR_CODES

from ctcore.contracts.driver import HttpRequest, HttpResponse
from ctcore.errors import RateLimited, RequestRefused, UnknownInstrument, VenueError, VenueUnavailable


def answer(status: int, body: bytes = b"", **headers: str) -> HttpResponse:
    request = HttpRequest("GET", "https://x/api/v3/depth", "spot depth", {"spot_weight": 50})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(request, status, body, named)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"code":-1121,"msg":"Invalid symbol."}', UnknownInstrument),
        (400, b'{"code":"-1121","msg":"Invalid symbol."}', UnknownInstrument),
        (400, b'{"code":-1102,"msg":"Mandatory parameter"}', RequestRefused),
        (400, b'{"code":-31337,"msg":"new"}', RequestRefused),
        (403, b"<html>", RateLimited),
        (500, b"", VenueUnavailable),
        (503, b'{"code":-1008,"msg":"Server is currently overloaded"}', VenueUnavailable),
        (200 + 2, b"", RequestRefused),
        (429, b'{"code":-1003,"msg":"Too much request weight used"}', RateLimited),
        (418, b"", RateLimited),
        (400, b'{"code":-1003,"msg":"Too many requests"}', RateLimited),
    ],
)
def test_answers_that_say_no(
    driver: BinanceDriver, status: int, body: bytes, error: type[VenueError]
) -> None:
    with pytest.raises(error, match="binance spot depth") as caught:
        driver.check(answer(status, body))
    assert caught.value.status == status


def test_a_good_answer_passes(driver: BinanceDriver) -> None:
    driver.check(answer(200, b'{"lastUpdateId":1}'))


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "17", 17.0),
        (429, "", 60.0),
        (429, "soon", 60.0),
        (418, "", 120.0),
        (418, "999999999", 259_200.0),
        (403, "", 300.0),
    ],
)
def test_how_long_to_be_silent(driver: BinanceDriver, status: int, header: str, seconds: float) -> None:
    response = answer(status, retry_after=header)
    with pytest.raises(RateLimited) as caught:
        driver.check(response)
    assert caught.value.retry_after_sec == seconds
    assert driver.rate_notice(response).parked_sec == seconds


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Mon, 11 Nov 2019 09:50:00 GMT", 663.123),
        ("Tue, 12 Nov 2019 09:50:00 GMT", 1.0),
        ("", 120.0),
        ("soon", 120.0),
    ],
)
def test_a_ban_s_end_is_read_from_its_text(driver: BinanceDriver, date: str, seconds: float) -> None:
    body = b'{"code":-1003,"msg":"Way too many requests; IP banned until 1573466463123. Use streams."}'
    notice = driver.rate_notice(answer(418, body, date=date))
    assert notice.parked_sec == pytest.approx(seconds)


def test_the_used_weight_counts_in_the_request_s_own_bucket(driver: BinanceDriver) -> None:
    notice = driver.rate_notice(answer(200, x_mbx_used_weight_1m="420"))
    assert (dict(notice.used), notice.parked_sec) == ({"spot_weight": 420}, 0.0)
    assert not driver.rate_notice(answer(200, x_mbx_used_weight_1m="many")).used
    assert not driver.rate_notice(answer(200)).used


def test_every_code_has_a_class_that_says_whether_to_retry() -> None:
    assert {error.retry for code, error in ERROR_CODES.items() if code in (-1121, -1102)} == {False}
    assert {error.retry for code, error in ERROR_CODES.items() if code in (-1001, -1003, -1008)} == {True}
