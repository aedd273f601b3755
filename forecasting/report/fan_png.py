"""The forecast fan as a small PNG inside a Markdown artifact: Prefect's UI shows images there, but runs no scripts."""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from forecasting.losses import Floats
from forecasting.report.data import ReportData

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

WIDTH, HEIGHT, MARGIN = 640, 220, 10
SHOWN_SESSIONS = 60

_WHITE, _INK, _OUTER, _INNER, _MEDIAN = (255, 255, 255), (70, 84, 103), (205, 226, 245), (150, 195, 235), (11, 94, 168)


def fan_markdown(data: ReportData) -> str:
    """A Markdown image of the newest sessions and the 90 % and 80 % fan, the PNG itself in the link."""
    alternative = (
        f"{data.symbol} {data.target}: the last {SHOWN_SESSIONS} sessions, then median, 80 % and 90 % interval"
    )
    return f"![{alternative}](data:image/png;base64,{base64.b64encode(png(draw(data))).decode('ascii')})"


def draw(data: ReportData) -> Pixels:
    """(HEIGHT, WIDTH, 3) pixels; oldest session left, scaled from the smallest to the largest value shown."""
    past = data.history["value"].iloc[-SHOWN_SESSIONS:].to_numpy(dtype=float)
    ahead = data.forecasts.sort_values("horizon")
    steps = len(past) + len(ahead)
    x = np.linspace(MARGIN, WIDTH - 1 - MARGIN, steps)
    # The fan opens from the newest known value.
    fans = {
        name: np.append(past[-1:], ahead[name].to_numpy(dtype=float)) for name in ("q05", "q10", "q50", "q90", "q95")
    }
    shown = np.concatenate([past, *fans.values()])
    low, high = np.nanmin(shown), np.nanmax(shown)
    scale = (HEIGHT - 1 - 2 * MARGIN) / max(high - low, 1e-12)

    def down(values: Floats) -> Floats:
        return np.asarray(HEIGHT - 1 - MARGIN - (values - low) * scale)  # rows count from the top

    pixels = np.full((HEIGHT, WIDTH, 3), _WHITE, dtype=np.uint8)
    fan = x[len(past) - 1 :]
    for lower, upper, colour in (("q05", "q95", _OUTER), ("q10", "q90", _INNER)):
        fill(pixels, fan, down(fans[upper]), down(fans[lower]), colour=colour)
    line(pixels, fan, down(fans["q50"]), colour=_MEDIAN)
    line(pixels, x[: len(past)], down(past), colour=_INK)
    return pixels


def fill(pixels: Pixels, x: Floats, top: Floats, bottom: Floats, *, colour: Colour) -> None:
    """Colour every pixel between two curves."""
    rows = np.arange(HEIGHT)
    for column in range(int(np.ceil(x[0])), int(x[-1]) + 1):
        inside = (rows >= np.interp(column, x, top)) & (rows <= np.interp(column, x, bottom))
        pixels[inside, column] = colour


def line(pixels: Pixels, x: Floats, y: Floats, *, colour: Colour) -> None:
    """Draw a curve two pixels thick; NaN leaves a gap."""
    columns = np.arange(int(np.ceil(x[0])), x[-1], 0.1)
    heights = np.interp(columns, x, y)
    known = np.isfinite(heights)
    across, rows = columns[known].astype(int), np.round(heights[known]).astype(int)
    for shift in (0, 1):
        pixels[np.clip(rows + shift, 0, HEIGHT - 1), across] = colour


def png(pixels: Pixels) -> bytes:
    """The pixels as a PNG file (W3C, "Portable Network Graphics", 3rd edition): 8 bits of red, green and blue."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), dtype=np.uint8), pixels.reshape(height, width * 3)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    chunks = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + chunks
