"""SVG from escaped parts: elements, scales, ticks and numbers. No text can become markup."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

# Characters that XML or UTF-8 cannot carry, and those that change the direction of text: shown as U+FFFD.
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")


def clean(text: object) -> str:
    """A text that every parser of HTML and XML accepts."""
    return UNFIT.sub("\ufffd", str(text))


def short(text: object, length: int) -> str:
    """A text of at most `length` characters, which ends in an ellipsis if it was cut."""
    cleaned = clean(text)
    return cleaned if len(cleaned) <= length else cleaned[: length - 1] + "…"


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """An element. `class_` becomes `class`, `text_anchor` becomes `text-anchor`; an attribute of None is left out."""
    named = {name.strip("_").replace("_", "-"): value for name, value in attributes.items() if value is not None}
    head = "".join(f' {name}="{escape(_text(value))}"' for name, value in named.items())
    inner = join(children)
    return Markup(f"<{tag}{head}>{inner}</{tag}>") if inner else Markup(f"<{tag}{head}/>")


def join(parts: Iterable[object]) -> Markup:
    return Markup("").join(part if isinstance(part, Markup) else escape(clean(part)) for part in parts)


def label(x: float, y: float, text: object, kind: str = "t", length: int = 80, **more: object) -> Markup:
    """A line of text at a place. If it is cut, the tooltip shows the whole text."""
    cut = short(text, length)
    whole = [element("title", short(text, 300))] if cut != clean(text) else []
    return element("text", *whole, cut, x=x, y=y, class_=kind, **more)


def drawing(width: float, height: float, title: object, parts: Iterable[object], kind: str = "chart") -> Markup:
    """A whole SVG. Screen readers read its title."""
    size = {"viewBox": f"0 0 {_text(width)} {_text(height)}", "width": width, "height": height}
    return element("svg", *parts, **size, role="img", aria_label=short(title, 300), class_=kind)


def path(points: Iterable[tuple[float, float]]) -> str:
    """The `d` of a line through points."""
    return "M" + "L".join(f"{_text(x)} {_text(y)}" for x, y in points)


def box(x: float, y: float, width: float, height: float) -> str:
    """The `d` of a rectangle. Many rectangles in one path take few bytes."""
    return f"M{_text(x)} {_text(y)}h{_text(width)}v{_text(height)}h{_text(-width)}z"


@dataclass(frozen=True)
class Scale:
    """Maps low..high of the data to start..end of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high != self.low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values in the range, about `count` of them."""
        span = self.high - self.low
        if not (span > 0 and math.isfinite(span)):
            return [self.low]
        power = 10.0 ** math.floor(math.log10(span / count))
        step = next(power * nice for nice in (1, 2, 5, 10) if power * nice * count >= span * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 12) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def padded(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """The range of values with some room at both ends."""
    low, high = min(values), max(values)
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room


def tick(value: float) -> str:
    """A number at an axis, as short as possible."""
    return f"{value:,.10g}" if abs(value) < 1e6 else f"{value:.3g}"


def number(value: float | int | None) -> str:
    """A figure in a table: a whole number, or four decimals."""
    if value is None:
        return "–"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 2):
        return f"{value:,.0f}".replace("-", "−")
    text = f"{value:,.4f}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"
    return text.replace("-", "−")


def signed(value: float) -> str:
    """A difference, with its sign."""
    return ("+" if value > 0 else "") + number(float(value))


def percent(share: float) -> str:
    """A share for people."""
    if 0 < share < 0.001:
        return "<0.1%"
    return "100%" if share == 1 else f"{100 * share:.1f}%"


def _text(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else clean(value)
