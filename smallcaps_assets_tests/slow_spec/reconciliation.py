"""Bars rebuilt from trades, and what they say of stored ones (research specification, section 2)."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from smallcaps_assets_tests.slow_spec.research_bars import micro

Row = dict[str, Any]
PRICES = ("open", "high", "low", "close")
CLASSES = (
    *("exact", "no_trades_no_bar", "missing_bar", "bar_without_trades", "split_factor", "fractional", "cancel"),
    *("form_t", "price_and_volume", "price_only", "volume_only", "count_only"),
)


def rule(trade: Row, name: str, conditions: dict[int, Row], *, regular: bool) -> bool:
    ids = trade["conditions"] or []
    if any(number not in conditions for number in ids):
        return False
    allowed = []
    for number in ids:
        if number == 12 and name != "updates_volume":
            allowed.append(not regular)
        else:
            allowed.append(conditions[number][name] is not False)
    return all(allowed)


def rebuilt(
    trades: list[Row],
    conditions: dict[int, Row],
    *,
    regular: bool,
    dropped: Collection[int] = (7, 8, 10, 11, 12),
    exchanged: bool = False,
) -> Row | None:
    """The bar of the trades of one minute, in stored order."""
    rth = regular != exchanged
    good = [trade for trade in trades if trade["correction"] not in dropped and (trade["price"] or 0) > 0]
    oc = [trade["price"] for trade in good if rule(trade, "updates_open_close", conditions, regular=rth)]
    hl = [trade["price"] for trade in good if rule(trade, "updates_high_low", conditions, regular=rth)]
    v = [
        trade
        for trade in good
        if (trade["size"] or 0) > 0 and rule(trade, "updates_volume", conditions, regular=regular)
    ]
    if not oc or not hl:
        return None
    volume = float(sum(trade["size"] for trade in v))
    dollars = sum(trade["size"] * trade["price"] for trade in v)
    return {
        "open": oc[0],
        "high": max(hl),
        "low": min(hl),
        "close": oc[-1],
        "volume": volume,
        "transactions": len(v),
        "vwap": dollars / volume if v else None,
    }


def _parts(stored: Row, tape: Row) -> tuple[bool, bool, bool]:
    prices = all(abs(micro(stored[name]) - micro(tape[name])) <= 1 for name in PRICES)
    volume = abs(stored["volume"] - tape["volume"]) <= max(1e-6, 1e-9 * stored["volume"])
    count = stored["transactions"] is None or stored["transactions"] == tape["transactions"]
    return prices, volume, count


def _is_equal(stored: Row, tape: Row | None) -> bool:
    return tape is not None and all(_parts(stored, tape))


def _factor(stored: Row | None, tape: Row | None) -> float | None:
    """The factor of a minute that meets the rules of one, apart from the last."""
    if stored is None or tape is None or not tape["volume"]:
        return None
    k = stored["close"] / tape["close"]
    good = max(k, 1 / k) >= 1.05 and all(abs(stored[name] / (k * tape[name]) - 1) <= 1e-6 for name in PRICES)
    return k if good and abs(stored["volume"] / (tape["volume"] / k) - 1) <= 1e-3 else None


def reconciled(
    minutes: list[tuple[datetime, bool]], bars: dict[datetime, Row], trades: list[Row], conditions: dict[int, Row]
) -> list[Row]:
    """One row per minute (with whether it is in RTH) of one span."""
    by_minute: dict[datetime, list[Row]] = {}
    for trade in trades:
        moment = trade["timestamp"].replace(second=0, microsecond=0)
        by_minute.setdefault(moment, []).append(trade)
    made = {moment: rebuilt(by_minute.get(moment, []), conditions, regular=regular) for moment, regular in minutes}
    factors = {moment: _factor(bars.get(moment), made[moment]) for moment, _ in minutes}
    found = []
    for moment, regular in minutes:
        stored, tape = bars.get(moment), made[moment]
        own, factor = by_minute.get(moment, []), factors[moment]
        twin = factor is not None and any(
            other is not None and at != moment and abs(other / factor - 1) <= 1e-6 for at, other in factors.items()
        )
        if stored is None or tape is None:
            name = ("missing_bar" if tape else "no_trades_no_bar") if stored is None else "bar_without_trades"
        else:
            prices, volume, count = _parts(stored, tape)
            off = abs(stored["volume"] - tape["volume"])
            holds = {
                "exact": prices and volume and count,
                "split_factor": factor is not None and (twin or micro(tape["high"]) != micro(tape["low"])),
                "fractional": prices and count and 0 < off < tape["transactions"],
                "cancel": _is_equal(stored, rebuilt(own, conditions, regular=regular, dropped=(10, 11, 12))),
                "form_t": _is_equal(stored, rebuilt(own, conditions, regular=regular, exchanged=True)),
                "price_and_volume": not prices and not volume,
                "price_only": not prices,
                "volume_only": not volume,
                "count_only": True,
            }
            name = next(name for name in CLASSES if holds.get(name))
        row: Row = {"timestamp": moment, "class": name}
        for side, bar in (("bar", stored), ("tape", tape)):
            for column in (*PRICES, "volume", "transactions", "vwap"):
                row[f"{side}_{column}"] = bar[column] if bar else None
        for column in PRICES:
            row[f"d{column}_bps"] = 1e4 * (stored[column] / tape[column] - 1) if stored and tape else None
        for column in ("volume", "transactions"):
            known = stored and tape and stored[column] is not None
            row[f"d{column}"] = stored[column] - tape[column] if known else None
        found.append(row)
    return found


def of_event(rows: list[Row], moment: datetime, start: datetime, end: datetime) -> Row:
    classes = [
        row["class"] for row in rows if start <= row["timestamp"] and row["timestamp"] + timedelta(minutes=1) <= end
    ]
    traded = [name for name in classes if name != "no_trades_no_bar"]
    own = [row["class"] for row in rows if row["timestamp"] == moment]
    return {
        "reconciled_share": classes.count("exact") / len(traded) if traded else None,
        "worst_class": max(classes, key=CLASSES.index) if classes else None,
        "event_bar_class": own[0] if own else None,
    }
