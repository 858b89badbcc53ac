import json
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import ConfigError
from ctcore.runtime import Redactor


@given(st.text(min_size=4, max_size=40).filter(lambda text: len(text.strip()) >= 4), st.text(), st.text())
def test_a_registered_secret_never_gets_through_in_any_form(secret, before, after):
    redactor = Redactor()
    redactor.register(secret)
    for form in (secret, quote_plus(secret), json.dumps(secret), repr(secret), json.dumps({"k": secret})):
        bare = form.strip("\"'") if form != secret else form
        assert bare not in redactor.redact(f"{before} {form} {after}") or bare in f"{before} {after} ***"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /v3/order?side=BUY&signature=abc01&time=1", "GET /v3/order?side=BUY&signature=***&time=1"),
        ("{'X-MBX-APIKEY': 'A', 'OK-ACCESS-SIGN': 'z='}", "{'X-MBX-APIKEY': '***', 'OK-ACCESS-SIGN': '***'}"),
        ('{"apiKey":"kkk","secretKey":"zzz","a":1}', '{"apiKey":"***","secretKey":"***","a":1}'),
        ('{\\"password\\": \\"abc\\"}', '{\\"password\\": \\"***\\"}'),
        ("Authorization: Bearer abc.def next", "Authorization: *** next"),
        ("[(b'authorization', b'Bearer foo'), (b'x', b'y')]", "[(b'authorization', b'***'), (b'x', b'y')]"),
        ("Cookie: a=b; c=d", "Cookie: ***"),
        ("postgres://u:p@ss/w0rd@host:5432/db", "postgres://u:***@host:5432/db"),
        ("wss://h/stream?token=abc&connectId=1", "wss://h/stream?token=***&connectId=1"),
        ("listenKey=abc db_password = x", "listenKey=*** db_password = ***"),
    ],
)
def test_what_looks_like_a_credential_is_masked(text, expected):
    redactor = Redactor()
    assert redactor.redact(text) == expected
    assert redactor.redact(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "the password is wrong",
        "token: WETH at 12",
        "design=3 sign",
        "https://api.binance.com:443/path for user@host",
        "binance:spot:BTC/USDT 2026-01-01 12:00:00",
        "key=BTC monkey=1",
    ],
)
def test_what_does_not_is_left_alone(text):
    assert Redactor().redact(text) == text


def test_short_secrets_are_masked_as_words_only():
    redactor = Redactor()
    redactor.register("ab")
    assert redactor.redact("ab cab tab ab.") == "*** cab tab ***."


def test_every_line_of_a_key_file_is_a_secret():
    redactor = Redactor()
    redactor.register("-----BEGIN KEY-----\nMIIEvQIBADANBg\nxyzxyzxyzxyzxyz\n-----END KEY-----\n")
    assert redactor.redact("line MIIEvQIBADANBg of xyzxyzxyzxyzxyz") == "line *** of ***"


def test_a_secret_within_a_longer_one_does_not_leave_the_rest():
    redactor = Redactor()
    redactor.register("abcd")
    redactor.register("abcdefgh")
    assert redactor.redact("abcdefgh") == "***"
    assert redactor.masked == 1


def test_nothing_is_registered_for_nothing():
    redactor = Redactor()
    redactor.register("")
    redactor.register("  ")
    assert redactor.redact("a  b") == "a  b"


def test_the_number_of_secrets_is_bounded():
    redactor = Redactor()
    with pytest.raises(ConfigError, match="secrets are in use"):
        redactor.register("\n".join(f"a long line with number {number}" for number in range(20_000)))
