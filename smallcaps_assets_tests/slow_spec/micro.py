"""Figures of the tape around an event (section 1 of the research specification), one window and one row at a time."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

S: Final = 1_000_000_000
NOT_MARKET: Final = {2, 4, 5, 7, 10, 13, 20, 21, 22, 29, 30, 31, 32, 33, 52, 53}
AUCTION: Final = {8, 9, 15, 16, 17, 18, 19, 25, 28, 38, 55}
STATES: Final = ("normal", "locked", "crossed", "one_sided", "empty", "none")

Row = dict[str, Any]


class Rules(NamedTuple):
    """Updates (high/low, open/close, volume) by id, and whether a moment's minute is in regular hours."""

    by_id: dict[int, tuple[bool | None, bool | None, bool | None]]
    in_rth: Callable[[int], bool]


class Market(NamedTuple):
    lag_ns: int = 0
    lots: bool = False
    hz: int = 5


def u(price: float | None) -> int:
    return math.floor(1e6 * (price or 0.0) + 0.5)


def sets_of(trade: Row, rules: Rules) -> set[str]:
    ids = trade["conditions"] or []
    found = set()
    if trade.get("correction") in {10, 11, 12}:
        return found
    if any(one not in rules.by_id for one in ids):
        return {"unknown"}
    rth = rules.in_rth(trade["timestamp"])

    def allowed(place: int) -> bool:
        return all((not rth) if one == 12 and place < 2 else rules.by_id[one][place] in {True, None} for one in ids)

    price, size = trade["price"] or 0, trade["size"] or 0
    if price > 0:
        found |= {name for place, name in enumerate(("HL", "OC")) if allowed(place)}
    if allowed(2) and price > 0 and size > 0:
        found.add("V")
        if not NOT_MARKET & set(ids) and (12 not in ids or not rth):
            found.add("X")
            if not AUCTION & set(ids):
                found.add("G")
    return found


class Quote(NamedTuple):
    at: int
    state: str
    b: int = 0
    a: int = 0
    bid: float = 0.0
    ask: float = 0.0
    bs: float = 0.0
    as_: float = 0.0


NONE: Final = Quote(-1, "none")


def quote_of(row: Row, *, lots: bool) -> Quote:
    bid, ask, bs, as_ = (row[name] or 0.0 for name in ("bid_price", "ask_price", "bid_size", "ask_size"))
    b, a, scale = u(bid), u(ask), 100 if lots else 1
    sides = (bid > 0 and bs > 0) + (ask > 0 and as_ > 0)
    state = "crossed" if a < b else "locked" if a == b else "normal"
    return Quote(row["timestamp"], ("empty", "one_sided", state)[sides], b, a, bid, ask, bs * scale, as_ * scale)


class Book:
    """The quotes of one window with its opening book."""

    def __init__(self, quotes: Sequence[Row], start: int, end: int, market: Market) -> None:
        rows = [quote_of(row, lots=market.lots) for row in quotes]
        before = [row for row in rows if row.at < start][-1:]
        self.rows = before + [row for row in rows if start <= row.at < end]

    def q(self, moment: int) -> Quote:
        """The last row strictly before `moment`."""
        before = bisect_left(self.rows, moment, key=lambda row: row.at)
        return self.rows[before - 1] if before else NONE


def mid(quote: Quote) -> float | None:
    return (quote.b + quote.a) / 2e6 if quote.state == "normal" else None


def mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def quantile(values: Sequence[float], q: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * q
    low = math.floor(place)
    return ordered[low] + (ordered[min(low + 1, len(ordered) - 1)] - ordered[low]) * (place - low)


def over(top: float, bottom: float) -> float | None:
    return top / bottom if bottom else None


def sign(value: int) -> int:
    return (value > 0) - (value < 0)


def signs(trades: Sequence[Row], book: Book, market: Market) -> list[Row]:
    """The trades of G of a window with their signs by four methods, and the quote in force."""
    found: list[Row] = []
    for trade in trades:
        s = u(trade["price"])
        earlier = next((one["s"] for one in reversed(found) if one["s"] != s), s)
        tick = sign(s - earlier)
        t = trade["timestamp"] - market.lag_ns
        quote = book.q(t)
        lr = emo = clnv = tick
        by_quote = False
        if quote.state == "normal":
            b, a = quote.b, quote.a
            by_quote = 2 * s != a + b
            lr = sign(2 * s - a - b) or tick
            emo = 1 if s == a else -1 if s == b else tick
            if 10 * s >= 7 * a + 3 * b and s <= a:
                clnv = 1
            elif 10 * s <= 7 * b + 3 * a and s >= b:
                clnv = -1
        signs_ = {"tick": tick, "lr": lr, "emo": emo, "clnv": clnv}
        found.append({**trade, **signs_, "s": s, "t": t, "quote": quote, "by_quote": by_quote})
    return found


def grid_figures(book: Book, a: int, b: int, w0: int, hz: int) -> Row:
    step = S // hz
    points = [(g, book.q(g)) for g in range(a + step, b + 1, step)]
    normal = [quote for _, quote in points if quote.state == "normal"]
    row: Row = {f"{name}_share": sum(quote.state == name for _, quote in points) / len(points) for name in STATES}
    usd = [(quote.a - quote.b) / 1e6 for quote in normal]
    bps = [1e4 * ((quote.a - quote.b) / 1e6) / (mid(quote) or 0) for quote in normal]
    for unit, values in (("usd", usd), ("bps", bps)):
        figures = {"mean": mean(values), "median": quantile(values, 0.5), "p95": quantile(values, 0.95)}
        row |= {f"spread_{unit}_{name}": value for name, value in figures.items()}
    row["spread_bps_at_end"] = bps[-1] if points[-1][1].state == "normal" else None
    stale = 0
    for g, quote in points:
        if g - 10 * S >= w0 and quote.state != "none":
            earlier = (book.q(g - k * step) for k in range(1, 10 * hz + 1))
            stale += all(one.state != "none" and one[2:4] + one[6:] == quote[2:4] + quote[6:] for one in earlier)
    row["stale_share"] = stale / len(points)
    row["depth_bid_usd_mean"] = mean([quote.bid * quote.bs for quote in normal])
    row["depth_ask_usd_mean"] = mean([quote.ask * quote.as_ for quote in normal])
    row["depth_imbalance_mean"] = mean([(quote.bs - quote.as_) / (quote.bs + quote.as_) for quote in normal])
    flow, breaks = [], 0
    for g, now in points:
        then = book.q(g - step)
        if now.state != "normal" or then.state != "normal":
            breaks += 1
            continue
        flow.append(
            (now.bs if now.b >= then.b else 0)
            - (then.bs if now.b <= then.b else 0)
            - (now.as_ if now.a <= then.a else 0)
            + (then.as_ if now.a >= then.a else 0)
        )
    row["ofi_breaks"] = breaks
    row["ofi_shares"] = sum(flow) if flow else None
    row["ofi_over_depth"] = sum(flow) / (mean([(q.bs + q.as_) / 2 for q in normal]) or 0) if flow else None
    mids = []
    for mark in range(a, b + 1, 5 * S):
        states = (book.q(g) for g in range(mark, w0 - 1, -step))
        mids.append(next((mid(quote) for quote in states if quote.state == "normal"), None))
    returns = [math.log(y / x) for x, y in pairwise(mids) if x is not None and y is not None]
    row["rv_n"] = len(returns)
    row["rv_5s"] = row["volatility_bps_per_sqrt_min"] = None
    if len(returns) >= 6:
        row["rv_5s"] = math.fsum(one * one for one in returns)
        row["volatility_bps_per_sqrt_min"] = 1e4 * math.sqrt(row["rv_5s"] / (len(returns) * 5 / 60))
    return row


def signed_figures(signed: Sequence[Row], a: int, b: int, book: Book) -> Row:
    trades = [one for one in signed if a <= one["timestamp"] < b]
    n = len(trades)
    row: Row = {
        "signed_by_quote_share": over(sum(one["by_quote"] for one in trades), n),
        "unsigned_share": over(sum(one["lr"] == 0 for one in trades), n),
        "sign_agreement_share": over(sum(one["lr"] == one["emo"] == one["clnv"] for one in trades), n),
    }

    def sides(value: Callable[[Row], float], kept: Callable[[Row], bool] = lambda _: True) -> tuple[float, float]:
        buys, sells = (math.fsum(value(one) for one in trades if one["lr"] == way and kept(one)) for way in (1, -1))
        return buys, sells

    def imbalance(pair: tuple[float, float]) -> float | None:
        return over(pair[0] - pair[1], pair[0] + pair[1])

    shares = sides(lambda one: one["size"])
    usd = sides(lambda one: one["price"] * one["size"])
    row |= {
        "imbalance_shares": imbalance(shares),
        "imbalance_dollars": imbalance(usd),
        "imbalance_count": imbalance(sides(lambda _: 1)),
        "buy_share": over(shares[0], sum(shares)),
        "net_buy_usd": usd[0] - usd[1],
        "imbalance_shares_lit": imbalance(sides(lambda one: one["size"], lambda one: one["exchange"] != 4)),
        "imbalance_shares_trf": imbalance(sides(lambda one: one["size"], lambda one: one["exchange"] == 4)),
    }
    effective = [one for one in trades if one["quote"].state == "normal"]
    for one in effective:
        one["w"] = one["price"] * one["size"]
        one["gap"] = (2 * one["s"] - one["quote"].a - one["quote"].b) / 1e6  # 2(p - m)
        one["m"] = mid(one["quote"])
    weight, n_effective = math.fsum(one["w"] for one in effective), len(effective)
    row |= {
        "effective_spread_bps": over(
            math.fsum(one["w"] * 1e4 * abs(one["gap"]) / one["m"] for one in effective), weight
        ),
        "effective_spread_usd": over(
            math.fsum(one["size"] * abs(one["gap"]) for one in effective), math.fsum(one["size"] for one in effective)
        ),
        "effective_spread_signed_bps": over(
            math.fsum(one["w"] * 1e4 * one["lr"] * one["gap"] / one["m"] for one in effective), weight
        ),
        "n_effective": n_effective,
        "inside_share": over(sum(one["quote"].b < one["s"] < one["quote"].a for one in effective), n_effective),
        "outside_share": over(
            sum(one["s"] < one["quote"].b or one["s"] > one["quote"].a for one in effective), n_effective
        ),
    }
    for label, horizon in HORIZONS.items():
        chosen = []
        for one in effective:
            later = book.q(one["t"] + horizon)
            if one["lr"] and one["t"] + horizon <= b and later.state == "normal":
                chosen.append((one, later))
        bottom = math.fsum(one["w"] for one, _ in chosen)
        realized = [one["w"] * 1e4 * one["lr"] * (2 * one["s"] - q.a - q.b) / 1e6 / one["m"] for one, q in chosen]
        impact = [
            one["w"] * 1e4 * one["lr"] * (q.a + q.b - one["quote"].a - one["quote"].b) / 1e6 / one["m"]
            for one, q in chosen
        ]
        row[f"realized_spread_{label}_bps"] = over(math.fsum(realized), bottom)
        row[f"price_impact_{label}_bps"] = over(math.fsum(impact), bottom)
        row[f"n_realized_{label}"] = len(chosen)
    ages = [(one["t"] - one["quote"].at) / 1e6 for one in trades if one["quote"].state != "none"]
    row["quote_age_ms_median"] = quantile(ages, 0.5)
    return row


def flow_figures(volume: Sequence[Row], a: int, b: int) -> Row:
    trades = [one for one in volume if a <= one["timestamp"] < b]
    times, seconds, n = [one["timestamp"] for one in trades], (b - a) // S, len(trades)
    shares = math.fsum(one["size"] for one in trades)

    def share(kept: Callable[[Row], bool]) -> float | None:
        return over(math.fsum(one["size"] for one in trades if kept(one)), shares)

    def buckets(width: int) -> list[int]:
        return [sum(start <= time < start + width * S for time in times) for start in range(a, b, width * S)]

    def large(one: Row) -> bool:
        return "G" in one["sets"] and u(one["price"]) * one["size"] >= 1e6 * 25_000

    gaps = [(y - x) / 1e6 for x, y in pairwise(times)]
    average = mean(gaps)
    cv = None
    if average and len(gaps) >= 3:
        cv = math.sqrt(math.fsum((gap - average) ** 2 for gap in gaps) / len(gaps)) / average
    edges = [a, *times, b]
    return {
        "trades": n,
        "volume_shares": shares,
        "dollar_volume_usd": math.fsum(one["price"] * one["size"] for one in trades),
        "trades_per_s": n / seconds,
        "peak_trades_1s": max(buckets(1)),
        "peak_trades_10s": max(buckets(10)),
        "active_seconds_share": sum(count > 0 for count in buckets(1)) / seconds,
        "duration_ms_mean": average,
        "duration_ms_median": quantile(gaps, 0.5),
        "duration_cv": cv,
        "same_time_share": over(sum(gap == 0 for gap in gaps), len(gaps)),
        "longest_gap_s": max(y - x for x, y in pairwise(edges)) / S,
        "large_prints": sum(large(one) for one in trades),
        "large_print_volume_share": share(large),
        "special_volume_share": share(lambda one: "G" not in one["sets"]),
        "odd_lot_trade_share": over(sum(one["size"] < 100 for one in trades), n),
        "odd_lot_volume_share": share(lambda one: one["size"] < 100),
        "trf_trade_share": over(sum(one["exchange"] == 4 for one in trades), n),
        "trf_volume_share": share(lambda one: one["exchange"] == 4),
        "sweep_volume_share": share(lambda one: 14 in (one["conditions"] or [])),
        "fractional_volume_share": share(lambda one: one["size"] != int(one["size"])),
    }


def kyle_figures(signed: Sequence[Row], a: int, b: int, book: Book) -> Row:
    x, y = [], []
    for k in range(a, b, S):
        first, last = mid(book.q(k)), mid(book.q(k + S))
        if first is not None and last is not None:
            trades = [one for one in signed if k <= one["timestamp"] < k + S]
            x.append(sum(one["lr"] * one["price"] * one["size"] for one in trades) / 10_000)
            y.append(1e4 * (last / first - 1))
    n, slope, r2 = len(x), None, None
    if n >= 30 and max(x) != min(x):
        xm, ym = math.fsum(x) / n, math.fsum(y) / n
        sxx, syy = math.fsum((v - xm) ** 2 for v in x), math.fsum((v - ym) ** 2 for v in y)
        sxy = math.fsum((v - xm) * (w - ym) for v, w in zip(x, y, strict=True))
        slope = sxy / sxx
        r2 = sxy**2 / (sxx * syy) if max(y) != min(y) else None
    return {"kyle_lambda_bps_per_10k_usd": slope, "kyle_r2": r2, "kyle_n": n}


def order_figures(volume: Sequence[Row], book: Book, window: Row, b: int, segment: str) -> Row:
    known = window["event"] + 60 * S
    quote, d = book.q(known), 1 if window["direction"] == "up" else -1
    m, row = mid(quote), {}
    if m is None:
        return row
    for usd in (1_000, 5_000, 25_000):
        if segment == "bar":
            price, size = (quote.a, quote.as_) if d > 0 else (quote.b, quote.bs)
            covers = price * size >= 1e6 * usd
            row[f"book_covers_{usd}"] = covers
            row[f"slippage_book_{usd}_bps"] = 1e4 * ((quote.a - quote.b) / 1e6) / 2 / m if covers else None
        elif segment in {"m5", "post_all"}:
            taken: list[Row] = []
            for one in volume:
                if "X" in one["sets"] and known <= one["timestamp"] < b:
                    taken.append(one)
                    if sum(u(each["price"]) * each["size"] for each in taken) >= 1e6 * usd / 0.10:
                        vwap = math.fsum(each["price"] * each["size"] for each in taken)
                        vwap /= math.fsum(each["size"] for each in taken)
                        row[f"slippage_vwap_{usd}_bps"] = d * 1e4 * (vwap / m - 1)
                        row[f"fill_seconds_{usd}"] = (one["timestamp"] - known) / S
                        break
    return row


HORIZONS: Final = {"5": 5 * S, "30": 30 * S}
BOTH: Final = ("kyle_", "slippage_vwap_", "fill_seconds_")


def micro(window: Row, trades: Sequence[Row], quotes: Sequence[Row], rules: Rules, market: Market) -> list[Row]:
    """The rows of one event: window has event (ns), direction, before and after (min), has_trades, has_quotes."""
    event, w0 = window["event"], window["event"] - window["before"] * 60 * S
    w1, known = event + window["after"] * 60 * S, event + 60 * S
    book = Book(quotes, w0, w1, market)
    inside = [{**one, "sets": sets_of(one, rules)} for one in trades if w0 <= one["timestamp"] < w1]
    volume = [one for one in inside if "V" in one["sets"]]
    signed = signs([one for one in inside if "G" in one["sets"]], book, market)
    segments = {
        "pre3": (event - 180 * S, event),
        "pre_all": (w0, event),
        "bar": (event, known),
        "m5": (known, known + 300 * S),
        "post_all": (known, w1),
    }
    rows = []
    for name, (a, b) in segments.items():
        if not w0 <= a < b <= w1:
            continue
        row: Row = {"segment": name, "a": a, "b": b}
        if window["has_quotes"]:
            row |= grid_figures(book, a, b, w0, market.hz)
        if window["has_trades"]:
            row |= flow_figures(volume, a, b)
            row["unknown_condition_trades"] = sum(
                "unknown" in one["sets"] and a <= one["timestamp"] < b for one in inside
            )
            before = next((one["trades_per_s"] for one in rows if one["segment"] == "pre3"), 0)
            row["speed_x"] = over(row["trades_per_s"], before) if name in {"bar", "m5"} else None
        if window["has_trades"] and window["has_quotes"]:
            row |= signed_figures(signed, a, b, book)
            row |= kyle_figures(signed, a, b, book) if name in {"pre_all", "m5", "post_all"} else {}
        if window["has_quotes"]:
            orders = order_figures(volume, book, window, b, name)
            row |= {
                column: value for column, value in orders.items() if window["has_trades"] or not column.startswith(BOTH)
            }
        rows.append(row)
    return rows
