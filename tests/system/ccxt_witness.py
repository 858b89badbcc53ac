"""Stock ccxt against simulated venues. Run by an interpreter that has ccxt: ctcore's own need not have it.

    python ccxt_witness.py binance=http://127.0.0.1:9001 okx=http://127.0.0.1:9002

Nothing of ccxt is changed but ``urls``. It prints one line of JSON for each venue and product: ``{"venue",
"product", "done": [what was seen to be right], "wrong": [what was not]}``. The truth it compares with is the
venue's own, below ``/_sim/``; the order flow is paused meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import traceback
import urllib.request
from collections.abc import Awaitable
from typing import Any
from urllib.parse import urlsplit

import ccxt.pro

WATCH_SEC = 8.0
DRAIN_SEC = 1.5
CALL_SEC = 20.0
LEVELS = 50
SYMBOLS = {"spot": ("BTC/USDT", "ETH/USDT"), "swap": ("BTC/USDT:USDT", "ETH/USDT:USDT")}
PLAIN = {"https": "http", "wss": "ws"}
MARKETS = {"spot": "spot", "swap": "futures"}


def make_binance(base: str, product: str) -> Any:
    """ccxt looks at hosts to tell products apart, so each is kept as the first part of the path."""
    client = ccxt.pro.binance({"options": {
        "defaultType": product,
        "fetchMarkets": {"types": ["spot" if product == "spot" else "linear"]},
    }})  # fmt: skip
    client.urls["api"] = moved(client.urls["api"], base)
    return client


def make_okx(base: str, product: str) -> Any:
    """One address each for calls and sockets."""
    client = ccxt.pro.okx({"options": {"defaultType": product, "fetchMarkets": {"types": [product]}}})
    client.urls["api"] = {"rest": base, "ws": base.replace("http", "ws") + "/ws/v5"}
    return client


def moved(urls: Any, base: str) -> Any:
    """``wss://stream.binance.com:9443/ws`` becomes ``ws://127.0.0.1:9001/stream.binance.com/ws``."""
    if isinstance(urls, dict):
        return {name: moved(url, base) for name, url in urls.items()}
    parts = urlsplit(urls)
    return f"{PLAIN[parts.scheme]}://{urlsplit(base).netloc}/{parts.hostname}{parts.path}"


MAKERS = {"binance": make_binance, "okx": make_okx}


class Verdict:
    """What was right and what was wrong about one product of one venue."""

    def __init__(self, venue: str, base: str, product: str) -> None:
        self.venue, self.base, self.product = venue, base, product
        self.client = MAKERS[venue](base, product)
        self.symbols = SYMBOLS[product]
        self.done: list[str] = []
        self.wrong: list[str] = []
        self.watched: dict[str, dict[str, Any]] = {symbol: {} for symbol in self.symbols}
        self.updates = dict.fromkeys(self.symbols, 0)

    def note(self, what: str, objection: str = "") -> None:
        """``what`` was looked at; right unless there is an objection."""
        if objection:
            self.wrong.append(f"{what}: {objection}")
        else:
            self.done.append(what)

    async def attempt(self, what: str, step: Awaitable[None]) -> None:
        """One step, with a deadline; its failure is an objection."""
        try:
            await asyncio.wait_for(step, CALL_SEC)
        except Exception as error:  # noqa: BLE001  whatever ccxt raises is what the test is to tell
            self.wrong.append(f"{what}: {error!r} {traceback.format_exc(limit=-3)}")

    async def truth(self, name: str, symbol: str, **query: Any) -> Any:
        """What the venue itself knows of an instrument."""
        market_id = self.client.market(symbol)["id"]
        asked = {"market": MARKETS[self.product], "symbol": market_id, **query}
        text = "&".join(f"{key}={value}" for key, value in asked.items())
        return await control(self.base, f"{name}?{text}")

    async def load(self) -> None:
        """Markets: both symbols, of the right kind."""
        markets = await self.client.load_markets()
        for symbol in self.symbols:
            market = markets[symbol]
            right = market["type"] == self.product and market["active"] and market["precision"]["price"] > 0
            if self.product == "swap":
                right = right and market["linear"] and market["settle"] == "USDT"
                right = right and market["contractSize"] > 0
            self.note(f"load_markets {symbol}", "" if right else json.dumps(market))

    async def watch(self) -> None:
        """Books and trades of every symbol at once, for some seconds."""
        watchers = [asyncio.ensure_future(watch(symbol)) for watch in (self.watch_book, self.watch_trades)
                    for symbol in self.symbols]
        await asyncio.sleep(WATCH_SEC)
        await control(self.base, "pause", {"paused": True})
        await asyncio.sleep(DRAIN_SEC)
        for watcher in watchers:
            if watcher.done():
                self.note("watching", f"ended: {watcher.exception()!r}")
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)

    async def watch_book(self, symbol: str) -> None:
        """Count the updates; ccxt keeps the book."""
        while True:
            await self.client.watch_order_book(symbol)
            self.updates[symbol] += 1

    async def watch_trades(self, symbol: str) -> None:
        """Keep every trade."""
        while True:
            for trade in await self.client.watch_trades(symbol):
                self.watched[symbol][trade["id"]] = trade

    async def judge(self) -> None:
        """The market stands still: compare everything with the truth."""
        for symbol in self.symbols:
            for what, step in (
                ("watch_order_book", self.judge_watched_book), ("watch_trades", self.judge_watched_trades),
                ("fetch_order_book", self.judge_book), ("fetch_trades", self.judge_trades),
                ("fetch_ticker", self.judge_ticker), ("fetch_ohlcv", self.judge_candles),
            ):  # fmt: skip
                await self.attempt(f"{what} {symbol}", step(symbol, f"{what} {symbol}"))

    async def judge_watched_book(self, symbol: str, what: str) -> None:
        """ccxt's own book, kept from deltas, is the venue's."""
        book, true = self.client.orderbooks[symbol], await self.truth("book", symbol, depth=LEVELS)
        self.note(what, differing(book, true))
        many = self.updates[symbol] > WATCH_SEC
        self.note(f"{what}: many updates", "" if many else f"{self.updates[symbol]}")

    async def judge_watched_trades(self, symbol: str, what: str) -> None:
        """From the first one watched on there is every trade of the venue, as it was."""
        watched, true = self.watched[symbol], (await self.truth("trades", symbol))["trades"]
        first = min(map(int, watched), default=None)
        expected = {str(trade["id"]): trade for trade in true if first is not None and trade["id"] >= first}
        self.note(f"{what}: some", "" if len(watched) > 3 else f"only {len(watched)}")
        self.note(what, unlike(watched, expected))

    async def judge_book(self, symbol: str, what: str) -> None:
        """The book by REST is the venue's."""
        book = await self.client.fetch_order_book(symbol, LEVELS)
        self.note(what, differing(book, await self.truth("book", symbol, depth=LEVELS)))

    async def judge_trades(self, symbol: str, what: str) -> None:
        """The last trades by REST are the venue's; Binance's default call gives aggregates of them."""
        true = (await self.truth("trades", symbol))["trades"]
        if self.venue == "binance":
            merged = await self.client.fetch_trades(symbol, limit=50)
            ends = {(trade["timestamp"], trade["price"]) for trade in merged}
            known = {(trade["us"] // 1000, float(trade["price"])) for trade in true}
            self.note(f"{what}, aggregated", "" if len(merged) == 50 and ends <= known else f"{merged[-3:]}")
        method = {"spot": "publicGetTrades", "swap": "fapiPublicGetTrades"}[self.product]
        more = {"fetchTradesMethod": method} if self.venue == "binance" else {}
        found = await self.client.fetch_trades(symbol, limit=50, params=more)
        fetched = {trade["id"]: trade for trade in found}
        self.note(what, unlike(fetched, {str(trade["id"]): trade for trade in true[-50:]}))

    async def judge_ticker(self, symbol: str, what: str) -> None:
        """Last price and best prices."""
        ticker, true = await self.client.fetch_ticker(symbol), await self.truth("book", symbol, depth=1)
        last = (await self.truth("trades", symbol, count=1))["trades"][-1]
        pairs = {"last": float(last["price"])}
        if ticker["bid"] is not None or self.venue == "okx":
            pairs |= {"bid": float(true["bids"][0][0]), "ask": float(true["asks"][0][0])}
        told = {key: ticker[key] for key in pairs}
        self.note(what, "" if told == pairs and ticker["baseVolume"] > 0 else f"{ticker}, expected {pairs}")

    async def judge_candles(self, symbol: str, what: str) -> None:
        """Bars a minute apart, within their own limits; those since the start are made of true trades."""
        bars = await self.client.fetch_ohlcv(symbol, "1m", limit=20)
        steps = {after[0] - before[0] for before, after in itertools.pairwise(bars)}
        sound = all(bar[3] <= min(bar[1], bar[4]) and bar[2] >= max(bar[1], bar[4]) for bar in bars)
        right = len(bars) == 20 and steps == {60_000} and sound
        self.note(what, "" if right else f"{len(bars)} {steps} {bars}")
        trades = (await self.truth("trades", symbol))["trades"]
        in_base = self.venue == "okx" and self.product == "swap"  # there ccxt tells the volume in coins
        unit = self.client.market(symbol)["contractSize"] if in_base else 1.0
        for bar in bars:
            if bar[0] * 1000 > trades[0]["us"]:
                self.note(f"{what}: made of trades", not_made_of(bar, trades, unit))


def not_made_of(bar: list[float], trades: list[dict[str, Any]], unit: float) -> str:
    """Why a bar is not what its minute's trades make; nothing traded leaves the last price."""
    begin_ms, *prices, volume = bar
    within = [trade for trade in trades if 0 <= trade["us"] // 1000 - begin_ms < 60_000]
    if not within:
        return f"{volume} traded without a trade" if volume else ""
    paid = [float(trade["price"]) for trade in within]
    total = sum(float(trade["quantity"]) for trade in within) * unit
    right = prices == [paid[0], max(paid), min(paid), paid[-1]] and abs(volume - total) <= 1e-9 * total
    return "" if right else f"{bar} of {len(within)} trades: {paid[:9]}, {total}"


def differing(book: Any, true: Any) -> str:
    """Where a book of ccxt's is not the venue's."""
    for side in ("bids", "asks"):
        ours = [[price, quantity] for price, quantity, *_ in book[side][:LEVELS]]
        theirs = [[float(price), float(quantity)] for price, quantity in true[side]]
        if ours != theirs or len(ours) < LEVELS:
            return f"{side} {ours[:4]}... ({len(ours)}), expected {theirs[:4]}... ({len(theirs)})"
    return ""


def unlike(trades: dict[str, Any], expected: dict[str, Any]) -> str:
    """Where trades of ccxt's are not the venue's."""
    if trades.keys() != expected.keys():
        missing, more = expected.keys() - trades.keys(), trades.keys() - expected.keys()
        return f"missing {sorted(missing)[:9]}, unexpected {sorted(more)[:9]} of {len(expected)}"
    for number, trade in trades.items():
        true = expected[number]
        told = trade["price"], trade["amount"], trade["side"], trade["timestamp"]
        if told != (float(true["price"]), float(true["quantity"]), true["side"], true["us"] // 1000):
            return f"{told}, expected {true}"
    return ""


async def control(base: str, path: str, body: Any = None) -> Any:
    """A call below ``/_sim/``."""
    data = None if body is None else json.dumps(body).encode()

    def call() -> Any:
        with urllib.request.urlopen(f"{base}/_sim/{path}", data, timeout=10) as answer:
            return json.load(answer)

    return await asyncio.to_thread(call)


async def examine(venue: str, base: str, product: str) -> None:
    """All of one product, in a client of its own."""
    verdict = Verdict(venue, base, product)
    try:
        await verdict.attempt("load_markets", verdict.load())
        if not verdict.wrong:
            await verdict.attempt("watch", verdict.watch())
            await verdict.judge()
    finally:
        await verdict.client.close()
    told = {"venue": venue, "product": product, "done": verdict.done, "wrong": verdict.wrong}
    print(json.dumps(told), flush=True)  # noqa: T201  a program's output


async def main() -> None:
    """Every product of every venue named on the command line, all at once."""
    venues = [argument.partition("=")[::2] for argument in sys.argv[1:]]
    await asyncio.gather(*(examine(venue, base, product) for venue, base in venues for product in SYMBOLS))


if __name__ == "__main__":
    asyncio.run(main())
