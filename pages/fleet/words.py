"""Numbers as an operator reads them."""

from typing import Final

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400


def age(seconds: float | None) -> str:
    """A duration in one or two units, such as `4 s`, `12 min` or `2 h 5 min`."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < MINUTE:
        return f"{seconds:.1f} s" if 0.05 <= seconds < 0.95 else f"{whole} s"
    if whole < HOUR:
        minutes, rest = divmod(whole, MINUTE)
        return f"{minutes} min {rest} s" if minutes < 5 and rest else f"{minutes} min"
    if whole < DAY:
        hours, rest = divmod(whole // MINUTE, MINUTE)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, rest = divmod(whole // HOUR, DAY // HOUR)
    return f"{days} d {rest} h" if rest and days < 7 else f"{days} d"


def ago(seconds: float | None) -> str:
    """How long ago something was, in words that follow `since`, or `now`."""
    return "now" if seconds is not None and seconds < 1 else age(seconds)


def money(dollars: float | None) -> str:
    """An amount in dollars; small ones keep the digits that tell them from nothing."""
    if dollars is None:
        return "–"
    if 0 < abs(dollars) < 1:
        return f"${dollars:.3f}" if abs(dollars) < 0.1 else f"${dollars:.2f}"
    return f"${dollars:,.2f}" if abs(dollars) < 10_000 else f"${dollars:,.0f}"


def count(number: float | None) -> str:
    """A whole number with its thousands apart."""
    return f"{int(number or 0):,}"


def percent(share: float) -> str:
    """A share of one in whole percent; what is not none is not shown as none."""
    return "1 %" if 0 < share < 0.01 else f"{share * 100:.0f} %"
