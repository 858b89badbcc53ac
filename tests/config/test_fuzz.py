"""Whatever stands in the file, the answer is a configuration or a ConfigError."""

import string

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctcore.config import Config, load_config
from ctcore.config.load import SECTIONS
from ctcore.config.structure import keys_of
from ctcore.errors import ConfigError

RELAXED = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=120,
)
NAMES = sorted({key for cls in SECTIONS.values() for key in keys_of(cls)})
HEADERS = [
    *SECTIONS, "monitor.subscriptions", "exchanges.acme", "exchanges.acme.simulator", "exchanges.bare.rest",
    "exchanges", "sinks.tape", "sinks.clickhouse", "sinks", "exchange.acme", "exchange.bare.rest", "sink.x",
]
VALUES = [
    "1", "-1", "0", "1e400", "nan", "true", "'x'", '"${HOME}"', '"${file:/}"', '"${"', "[]", "[1, 'a']", "{}",
    "{ spot = 'x', kind = [] }", "1979-05-27", "'BTC/USDT'", "['BTC/USDT']", "['trade', 'x']", "'spot'", "",
    "'''", "0x" + "f" * 99, "'acme'", "'\\u0000'", "%(port)s", "`", "\\", "[[[",
]
WORDS = st.sampled_from(NAMES) | st.text(string.ascii_lowercase + "._-\" ", max_size=6)
LINES = st.one_of(
    st.sampled_from(HEADERS).map("[{}]".format),
    st.sampled_from(HEADERS).map("[[{}]]".format),
    st.tuples(WORDS, st.sampled_from(VALUES)).map(" = ".join),
    st.text(max_size=20),
)


def answer(path, plugins):
    """The configuration, or what the ConfigError says; anything else fails the test."""
    try:
        return load_config(path, plugins)
    except ConfigError as error:
        return str(error)


def is_answer(path, answered):
    """A configuration, or text of which the first line starts with the file's name."""
    return isinstance(answered, Config) or answered.startswith(str(path))


@RELAXED
@given(st.lists(LINES, max_size=30).map("\n".join), st.sampled_from(["x.toml", "x.ini"]))
def test_near_configurations(tmp_path, plugins, text, name):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", errors="replace")
    assert is_answer(path, answer(path, plugins))


@RELAXED
@given(st.binary(max_size=200) | st.text().map(lambda text: text.encode("utf-8", "replace")),
       st.sampled_from(["x.toml", "x.ini"]))
def test_any_bytes(tmp_path, plugins, data, name):
    path = tmp_path / name
    path.write_bytes(data)
    assert is_answer(path, answer(path, plugins))


@RELAXED
@given(st.text(string.ascii_letters + string.digits + "/+=!*?", min_size=8, max_size=20),
       st.sampled_from(sorted(SECTIONS)), st.sampled_from(NAMES), st.sampled_from(["x.toml", "x.ini"]))
def test_no_key_tells_what_a_reference_gave(tmp_path, monkeypatch, plugins, secret, section, key, name):
    monkeypatch.setenv("SECRET", f"hunter2{secret}")
    path = tmp_path / name
    path.write_text(f'[{section}]\n{key} = "${{SECRET}}"\n')
    answered = answer(path, plugins)
    assert isinstance(answered, Config) or "hunter2" not in answered
