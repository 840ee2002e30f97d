"""What all pictures share: palette, fonts, caption, and how they are written.

Figures are plain objects, never pyplot's current one, so drawing needs no display and leaves nothing behind.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

#: Okabe and Ito's colours, told apart under the common forms of colour blindness (https://jfly.uni-koeln.de/color/),
#: without their yellow and black, and with Tol's wine (https://sronpersonalpages.nl/~pault/); grey is for phases.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#882255")

#: Line styles that go with the colours, so that a picture also reads in grey.
DASHES: tuple[object, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1, 1, 1, 1, 1)))

#: Text stays text in SVG, and its ids do not change from run to run.
SETTINGS: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "dovetail",
}

MAX_LEGEND_COLUMNS = 8

_CAPTION_SIZE = 7.5
# Mean width of a character over the font size, for wrapping the caption to the figure.
_CHARACTER_WIDTH = 0.6
# Between handle and label and between columns, Matplotlib's defaults, in units of the font size.
_LEGEND_GAPS = 0.8 + 2.0


def new_figure(width: float, height: float) -> Figure:
    """Empty figure, inches; its parts are laid out so that no two overlap."""
    with rc_context(SETTINGS):
        return Figure(figsize=(width, height), layout="constrained")


def colour(index: int) -> str:
    """Colour number `index` of the palette, starting over after the last."""
    return PALETTE[index % len(PALETTE)]


def dashes(index: int) -> object:
    """Line style number `index`, starting over after the last."""
    return DASHES[index % len(DASHES)]


def blend(base: str, other: str, share: float) -> tuple[float, float, float]:
    """Mixture of two colours, `share` of it the second: towards white for waiting, towards black for prefill."""
    first, second = to_rgb(base), to_rgb(other)
    red, green, blue = (a * (1 - share) + b * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def plain_log_ticks(axis: Axis, *, within_decades: bool) -> None:
    """Numbers instead of powers at the ticks of a logarithmic axis; at 2 and 5, too, where it spans few decades."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if within_decades else (1.0,)))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def add_legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], *, handlelength: float) -> None:
    """One legend for all panels, above them: at most eight entries a line, and as many as the figure has room for."""
    size = SETTINGS["font.size"]
    widest = size * (max(map(len, labels), default=0) * _CHARACTER_WIDTH + handlelength + _LEGEND_GAPS)
    room = max(1, int(figure.get_figwidth() * 72 / widest))
    num_columns = min(len(handles), MAX_LEGEND_COLUMNS, room)
    figure.legend(handles, labels, loc="outside upper left", ncols=num_columns, handlelength=handlelength)


def add_caption(figure: Figure, caption: str) -> None:
    """Write the caption below everything else, wrapped to the figure's width.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    caption : str
        What the picture shows: hardware, model, engine version, workload, policy and seed.
    """
    if not caption:
        return
    num_characters = int(figure.get_figwidth() * 72 / (_CAPTION_SIZE * _CHARACTER_WIDTH))
    text = textwrap.fill(caption, num_characters)
    figure.supxlabel(text, x=0.01, ha="left", fontsize=_CAPTION_SIZE, color="#444444")


def save(figure: Figure, path: Path, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write a figure once per format.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : Path
        Without the suffix; the folder is made when missing.
    formats : sequence of str
        File suffixes that Matplotlib knows.

    Returns
    -------
    list of Path
        The files written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_name(f"{path.name}.{suffix}") for suffix in formats]
    with rc_context(SETTINGS):
        for file in written:
            # No date in the SVG: the same records give the same bytes.
            figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else None)
    return written
