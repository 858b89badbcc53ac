"""The reference page against the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from ctcore.api import gate, server
from ctcore.api.answers import BookAnswer, ErrorAnswer, StatusAnswer
from ctcore.api.parameters import DEPTH_DEFAULT, DEPTH_LARGEST
from ctcore.model.ids import Channel

from .fake import app_over, call

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")


async def test_every_call_is_in_the_table() -> None:
    paths = (await call("GET", "/openapi.json", app=app_over())).json()["paths"]
    calls = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    listed = re.findall(r"^\| `((?:GET|PUT) [^`?]+)", PAGE, re.MULTILINE)
    assert calls == set(listed)


def test_every_code_is_in_the_table() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "ctcore/api").glob("*.py"))
    codes = set(re.findall(r"(?:ApiError|error_answer)\(\s*[\w.]+, \"(\w+)\"", source))
    codes |= set(re.findall(r"(?:HTTPStatus\.\w+, |Detail\()\"(\w+)\"", source))
    assert len(codes) > 15
    table = "".join(line for line in PAGE.splitlines() if re.match(r"\| [45]\d\d", line))
    assert codes == set(re.findall(r"`([a-z_]+)`", table))


@pytest.mark.parametrize("shape", [BookAnswer, ErrorAnswer, StatusAnswer])
def test_the_examples_have_the_shapes(shape: type[msgspec.Struct]) -> None:
    examples = [json.loads(line) for line in PAGE.splitlines() if line.startswith("{")]
    fields = {field.name for field in msgspec.structs.fields(shape)}
    (example,) = [each for each in examples if set(each) == fields]
    assert isinstance(msgspec.convert(example, shape), shape)


def test_the_figures_are_right() -> None:
    assert f"levels a side, {DEPTH_DEFAULT} unless given, {DEPTH_LARGEST} at most" in PAGE
    assert f"{gate.CALLS_MOST} calls at a time" in PAGE
    assert f"a body of {gate.BODY_LARGEST // 1024} KiB" in PAGE
    assert f"closed after {server.IDLE_SEC} s" in PAGE
    assert f"cut off after {server.STALLED_SEC:g} s" in PAGE
    assert f"have {server.GRACE_SEC:g} s to finish" in PAGE
    assert all(f"`{channel}`" in PAGE for channel in Channel)
