"""Removing secrets from text that leaves the process: logs, error texts, reports.

Two nets, one behind the other: every secret value that was ever read is registered and removed wherever it
turns up; what looks like a credential (a header, a query parameter, a password in a URL) is removed even if
nobody registered it. Imports only errors.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote, quote_plus

from ctcore.errors import ConfigError

MASK = "***"
_LIMIT = 10_000
_WORD_ONLY_BELOW = 4  # shorter secrets are removed as whole words only, or every text would be full of masks
_LINE_FROM = 12  # lines of a multi-line secret (a PEM key) at least this long are secrets themselves

_NAMES = (
    r"(?:[\w-]*[_-])?(?:api_?-?key|access_?-?key|secret_?-?key|private_?-?key|api_?-?secret|client_?-?secret"
    r"|(?:access|auth|refresh|session|api|bot)_?-?token|listen_?-?key|signature|sign|passphrase|password|passwd|pwd"
    r"|secret)"
)
_KEY = rf"(?i)((?<![\w-])(?:{_NAMES})(?:\\?[\"'])?\s*[:=]\s*)"
_PATTERNS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Authorization: Bearer abc; authorization='Basic ...'; Bearer abc, wherever it stands
        (r"(?i)(\b(?:proxy-)?authorization\b[\"']?\s*[:=,]\s*(?:b?[\"'])?)(?:[a-z]+\s+)?[^\s\"',;]+",
         rf"\1{MASK}"),
        (r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9+/_.~=-]{8,}", rf"\1{MASK}"),
        (r"(?i)(\b(?:set-)?cookie\b[\"']?\s*[:=]\s*).+", rf"\1{MASK}"),
        # "name": "value", name='value', ('name', b'value'): up to the closing quote
        (_KEY.replace("[:=]", "[:=,]") + r"(b?(?P<quote>\\?[\"']))(?:(?!(?P=quote)).)+", rf"\1\2{MASK}"),
        # name=value, name: value
        (_KEY + r"(?![\"'\\]|\*\*\*)[^\s\"'&,;})\]]+", rf"\1{MASK}"),
        (r"(?i)(\btoken=)[^\s\"'&,;})\]]+", rf"\1{MASK}"),
        # scheme://user:password@host; a password may itself hold an @ or a slash
        (r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@?#]*):[^\s\"']+@", rf"\1:{MASK}@"),
    )
)


# One of these is in every text that a pattern matches: looking for them costs a hundredth of the patterns.
_HINTS = ("key", "secret", "token", "sign", "pass", "pwd", "auth", "cookie", "bearer", "basic", "://")


class Redactor:
    """Knows the secrets and masks them; they are kept for the life of the process, ten thousand at most."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.masked = 0

    def register(self, value: str) -> None:
        """Never let ``value`` out again, in any form it takes in URLs, JSON and reprs.

        Raises :class:`~ctcore.errors.ConfigError` when there are too many secrets to look for.
        """
        forms = {form for form in _forms(value) if form.strip()} - self._values
        if not forms:
            return
        if len(self._values) + len(forms) > _LIMIT:
            raise ConfigError(f"more than {_LIMIT} secrets are in use; name fewer in the configuration")
        self._values |= forms
        longest_first = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(_to_find(form) for form in longest_first))

    def redact(self, text: str) -> str:
        """The text with every secret replaced by ``***``."""
        if self._pattern is not None:
            text, count = self._pattern.subn(MASK, text)
            self.masked += count
        lower = text.lower()
        if any(hint in lower for hint in _HINTS):
            for pattern, replacement in _PATTERNS:
                text = pattern.sub(replacement, text)
        return text


REDACTOR = Redactor()
"""The process's own: a secret registered anywhere is masked everywhere."""

register_secret = REDACTOR.register
redact = REDACTOR.redact


def _forms(value: str) -> set[str]:
    lines = [line.strip() for line in value.splitlines()]
    long_lines = {line for line in lines if len(line) >= _LINE_FROM and not line.startswith("---")}
    texts = {value, value.strip()} | long_lines
    return {
        form
        for text in texts
        for form in (
            text,
            quote(text, safe=""),
            quote(text),
            quote_plus(text),
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            repr(text)[1:-1],
        )
    }


def _to_find(form: str) -> str:
    escaped = re.escape(form)
    return rf"(?<!\w){escaped}(?!\w)" if len(form) < _WORD_ONLY_BELOW else escaped
