import io
import logging
import os
import re

import pytest
from loguru import logger

from ctcore.errors import ConfigError
from ctcore.runtime import LogOnce, LogSettings, Redactor, setup_logging


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def restore_logging():
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logger.remove()
    logger.configure(patcher=lambda record: None)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def redactor():
    return Redactor()


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def start(stream, redactor, tmp_path):
    opened = []

    def start(**settings):
        chosen = LogSettings(directory=tmp_path, **settings)
        opened.append(setup_logging(chosen, stream=stream, redactor=redactor))
        return opened[-1]

    yield start
    for logs in opened:
        logs.close()


def lines(path):
    return path.read_text().splitlines()


def test_each_record_goes_where_it_belongs(start, stream, tmp_path):
    start(level="info")
    logger.debug("too small")
    logger.info("hello")
    logger.error("broken")
    logger.bind(trade=True).info("bought")
    for path, expected in (
        ("ctcore.log", ["hello", "broken", "bought"]),
        ("error.log", ["broken"]),
        ("trade.log", ["bought"]),
    ):
        assert [line.rsplit(" ", 1)[1] for line in lines(tmp_path / path)] == expected
    shown = [line.rsplit(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert shown == ["hello", "broken", "bought"]


def test_a_line_tells_when_how_grave_where_and_what(start, tmp_path):
    start()
    logger.bind(exchange="okx", n=3).warning("slow")
    line = lines(tmp_path / "ctcore.log")[0]
    pattern = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} WARNING  \S*test_log slow exchange=okx n=3"
    assert re.fullmatch(pattern, line)


@pytest.mark.parametrize(
    ("terminal", "no_color", "coloured"), [(True, None, True), (True, "1", False), (False, None, False)]
)
def test_colour_is_for_terminals_that_want_it(monkeypatch, terminal, no_color, coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    stream = Terminal() if terminal else io.StringIO()
    with setup_logging(LogSettings(), stream=stream, redactor=Redactor()):
        logger.info("hello")
    assert ("\x1b[" in stream.getvalue()) is coloured


def test_secrets_appear_nowhere(start, stream, redactor, tmp_path):
    redactor.register("s3cr3t-value")
    start(level="debug")

    def request(key):
        raise ValueError(f"refused: {key}")

    logger.info("key s3cr3t-value")
    logger.bind(key="s3cr3t-value", headers={"X-API-KEY": "other-key"}).bind(trade=True).error("message")
    logger.info("{}", {"password": "pass-word"})
    logging.getLogger("third.party").warning("GET https://h/x?signature=%s", "cafe01")
    try:
        request("s3cr3t-value")
    except ValueError as cause:
        try:
            raise RuntimeError("mysql://root:pass-word@db/x") from cause
        except RuntimeError:
            logger.exception("failed with s3cr3t-value")
    everything = stream.getvalue() + "".join(path.read_text() for path in tmp_path.iterdir())
    for secret in ("s3cr3t", "other-key", "pass-word", "cafe01"):
        assert secret not in everything
    assert "Traceback" in everything
    assert "refused: ***" in everything
    assert "mysql://root:***@db/x" in everything


def test_a_strangers_sink_sees_no_secrets_either(start, redactor):
    redactor.register("s3cr3t-value")
    start()
    seen = []
    logger.add(lambda message: seen.append((message.record["message"], message.record["extra"]["key"])))
    logger.bind(key="s3cr3t-value").info("s3cr3t-value")
    assert seen == [("***", "***")]


def test_text_from_outside_cannot_pose_as_a_line_or_steer_the_terminal(start, stream, tmp_path):
    start()
    logger.info("symbol A\n2026-01-01 ERROR forged\r\x1b[2J")
    assert lines(tmp_path / "ctcore.log")[1] == "    2026-01-01 ERROR forged\\x0d\\x1b[2J"
    assert "\x1b" not in stream.getvalue()


def test_standard_logging_joins_under_its_own_name(start, tmp_path):
    start(level="debug")
    logging.getLogger("some.library").error("broken %s", "pipe")
    logging.getLogger("some.library").error("broken %s %s", "format")  # noqa: PLE1206  a stranger's mistake
    logging.getLogger("httpx").info("chatty")
    text = (tmp_path / "ctcore.log").read_text()
    assert "some.library broken pipe" in text
    assert "broken %s %s" in text
    assert "chatty" not in text


def test_braces_in_messages_are_just_braces(start, tmp_path):
    start()
    logger.info('{"a": {}} <red>')
    logger.info("{}", '{"b": {}} <red>')
    logging.getLogger("x").warning('{"c": {0}} </level>')
    texts = lines(tmp_path / "ctcore.log")
    expected = ['{"a": {}} <red>', '{"b": {}} <red>', '{"c": {0}} </level>']
    assert all(text.endswith(end) for text, end in zip(texts, expected, strict=True))


def test_files_rotate_by_size_and_only_so_many_are_kept(start, tmp_path):
    logs = start(max_file_size_mb=0.001, keep=2)
    for number in range(100):
        logger.info("line {:04}", number)
    names = sorted(path.name for path in tmp_path.glob("ctcore.log*"))
    assert names == ["ctcore.log", "ctcore.log.1", "ctcore.log.2"]
    assert all((tmp_path / name).stat().st_size <= 1_048 for name in names)
    kept = "".join((tmp_path / name).read_text() for name in reversed(names))
    numbers = [int(line.rsplit(" ", 1)[1]) for line in kept.splitlines()]
    assert numbers == list(range(numbers[0], 100))
    assert logs.statistics().files[0].rotations > 2


def test_a_restart_continues_the_file(start, tmp_path):
    start().close()
    logger.remove()
    for word in ("one", "two"):
        start()
        logger.info(word)
    assert [line.rsplit(" ", 1)[1] for line in lines(tmp_path / "ctcore.log")] == ["one", "two"]


def test_a_full_disk_costs_lines_and_one_complaint(start, monkeypatch, capsys, tmp_path):
    logs = start()
    logger.info("before")
    write, full = os.write, True

    def failing(fd, data):
        if full:
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(os, "write", failing)
    for _ in range(5):
        logger.info("lost")
    full = False
    logger.info("after")
    monkeypatch.undo()
    assert [line.rsplit(" ", 1)[1] for line in lines(tmp_path / "ctcore.log")] == ["before", "after"]
    assert logs.statistics().files[0].failed == 5
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_a_line_the_disk_took_half_of_does_not_spoil_the_next(start, monkeypatch, tmp_path):
    start()
    logger.info("before")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:20]))
    logger.info("halved")
    monkeypatch.undo()
    logger.info("after")
    texts = lines(tmp_path / "ctcore.log")
    assert len(texts) == 3
    assert texts[2].endswith("after")


def test_a_closed_console_costs_lines_only(start, stream, tmp_path):
    logs = start()
    stream.close()
    logger.info("unseen")
    assert logs.statistics().console_failed == 1
    assert "unseen" in (tmp_path / "ctcore.log").read_text()


def test_wrong_settings_are_config_errors(tmp_path):
    (tmp_path / "file").write_text("")
    for settings, text in (
        (LogSettings(level="loud"), "choose one of debug, info, warn, error"),
        (LogSettings(directory=tmp_path / "file" / "logs"), "log directory"),
        (LogSettings(keep=-1), "at least 0"),
    ):
        with pytest.raises(ConfigError, match=text):
            setup_logging(settings)


def test_once_per_kind_and_interval_with_the_rest_counted(start, tmp_path):
    start()
    now = 0.0
    once = LogOnce(now_sec=lambda: now)
    results = [once("WARNING", "decode", "junk {}", number) for number in range(5)]
    results.append(once("WARNING", "other", "odd {}"))
    now = 60.0
    results.append(once("WARNING", "decode", "junk {}", 9))
    assert results == [True, False, False, False, False, True, True]
    assert once.suppressed == 4
    texts = [line.split(" ", 4)[-1] for line in lines(tmp_path / "ctcore.log")]
    assert [text.split("test_log ")[-1] for text in texts] == [
        "junk 0", "odd {}", "junk 9 (and 4 more like it since)",
    ]  # fmt: skip


def test_kinds_are_bounded_and_the_oldest_is_forgotten(start):
    start()
    once = LogOnce(max_keys=2, now_sec=lambda: 0.0)
    assert [once("INFO", key, key) for key in "abcab"] == [True, True, True, True, True]
    assert [once("INFO", key, key) for key in "ba"] == [False, False]
