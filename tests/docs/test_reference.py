"""The reference pages against the code: hooks, errors, messages, sequence rules, floors."""

from __future__ import annotations

import inspect
import itertools
import re
import textwrap
from typing import Any

import msgspec
import pluggy
import pytest

from ctcore import errors
from ctcore.book.sequence import RULES
from ctcore.contracts.plugin import PROJECT, hookspecs
from ctcore.model import market
from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import CHANNEL_OF, BookDelta, FeedStatus, Gap, GapReason, MarketEvent
from ctcore.model.message import Message

from .pages import ROOT, blocks, code, headings, rows, section

REFERENCE = ROOT / "docs" / "reference"
DESIGN = ROOT / "docs" / "explanation" / "design.md"


def specs() -> dict[str, Any]:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    names = [name for name in vars(manager.hook) if name.startswith(f"{PROJECT}_")]
    return {name: getattr(hookspecs, name) for name in names}


def test_hooks_have_their_signatures() -> None:
    told = {text for _, text in headings(REFERENCE / "hooks.md") if text.startswith("`")}
    signed = {f"`{name}{inspect.signature(spec)}`".replace("'", "") for name, spec in specs().items()}
    assert len(signed) >= 5
    assert told == signed


def every_error() -> dict[str, type[errors.CtcoreError]]:
    return {name: value for name, value in vars(errors).items()
            if isinstance(value, type) and issubclass(value, errors.CtcoreError)}


def test_the_tree_of_errors() -> None:
    (tree,) = blocks(REFERENCE / "errors.md", "text")
    drawn = (errors.__doc__ or "").split("::\n\n")[1].split("\n\nWhose")[0]
    assert tree.text.rstrip() == textwrap.dedent(drawn)
    lines = re.finditer(r"^([^A-Z]*)(\w+)", tree.text, re.MULTILINE)
    base = len(errors.CtcoreError.__mro__)
    real = {name: len(error.__mro__) - base for name, error in every_error().items()}
    assert {match[2]: len(match[1]) // 4 for match in lines} == real


def test_every_error_is_listed() -> None:
    listed = {code(row[0]): row for row in rows((REFERENCE / "errors.md").read_text(encoding="utf-8"))}
    assert set(listed) == set(every_error())
    for name, error in every_error().items():
        assert listed[name][1] == ("yes" if error.retry else "no")
        parameters = inspect.signature(error.__init__).parameters.values()
        own = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
        assert own <= set(re.findall(r"`(\w+)`", listed[name][2]))


def events() -> list[type[Any]]:
    kinds: list[type[Any]] = [kind for kind in vars(market).values() if isinstance(kind, type)]
    return [kind for kind in kinds if kind is FeedStatus or kind in MarketEvent.__subclasses__()]


@pytest.mark.parametrize("event", events(), ids=lambda event: event.__name__)
def test_fields_of_events(event: type[Any]) -> None:
    kind = "status" if event is FeedStatus else "gap" if event is Gap else str(CHANNEL_OF[event])
    table = rows(section(REFERENCE / "messages.md", f"`{event.__name__}` ({kind})"))
    listed = {code(row[0]): code(row[1]) for row in table if len(row) == 3}
    own = inspect.get_annotations(event)
    assert list(own) == [name for name in event.__struct_fields__ if name in own]
    assert listed == own


def test_the_message_and_its_types() -> None:
    page = REFERENCE / "messages.md"
    head = section(page, "Messages")
    assert [code(row[0]) for row in rows(head)] == list(Message.__struct_fields__)
    types = {*map(str, Channel), "gap", "status"}
    assert set(re.findall(r"`(\w+)`", rows(head)[0][1])) == types
    msgspec.json.decode(blocks(page, "json")[0].text, type=Message)
    reasons = {code(row[0]) for row in rows(section(page, "`Gap` (gap)")) if len(row) == 2}
    assert reasons == set(map(str, GapReason))


def test_sequence_rules_do_what_the_table_says() -> None:
    text = (REFERENCE / "sequence-rules.md").read_text(encoding="utf-8")
    table = {code(row[0]): [code(cell) for cell in row[1:]] for row in rows(text) if len(row) == 5}
    assert set(table) == set(RULES)
    assert {code(row[0]) for row in rows(text) if len(row) == 3} == set(RULES)
    instrument, ids = InstrumentId.parse("binance:spot:BTC/USDT"), range(1, 7)
    for name, rule in RULES.items():
        for first, prev, last, at in itertools.product(ids, repeat=4):
            delta = BookDelta(instrument, 0, 0, first, prev, last, [], [])
            values = {"first": first, "prev": prev, "last": last, "at": at}
            tests = (rule.older, rule.joins, rule.follows, rule.repeats)
            for expression, test in zip(CODE[name], tests, strict=True):
                assert eval(expression, {}, values) == test(delta, at), (name, expression, values)


CODE = {
    code(row[0]): [compile(code(cell), "table", "eval") for cell in row[1:]]
    for row in rows((REFERENCE / "sequence-rules.md").read_text(encoding="utf-8")) if len(row) == 5
}  # fmt: skip


def test_the_floors_of_the_design_are_those_that_are_checked() -> None:
    source = (ROOT / "tests" / "test_floors.py").read_text(encoding="utf-8")
    namespace: dict[str, Any] = {}
    exec(re.search(r"^FLOORS = \(.*?^\)", source, re.MULTILINE | re.DOTALL)[0], namespace)  # type: ignore[index]
    table = [row for row in rows(section(DESIGN, "Floors")) if row[0].isdigit()]
    assert [tuple(sorted(re.findall(r"`(\w+)`", row[1]))) for row in table] == [
        tuple(sorted(floor)) for floor in namespace["FLOORS"]]


def test_the_layout_lists_the_files_of_the_plugins() -> None:
    text = (REFERENCE / "plugins-file-layout.md").read_text(encoding="utf-8")
    listed = {code(row[0]) for row in rows(text)}
    for name in listed - {"pyproject.toml", "README.md", "tests/"}:
        for package in ("binance", "okx"):
            assert (ROOT / "plugins" / package / f"ctdaemon_{package}" / name).is_file(), (package, name)
