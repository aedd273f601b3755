from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from forecasting.report.fan_png import HEIGHT, MARGIN, WIDTH, draw, fan_markdown, line, png
from tests.report.nights import report_data


def decoded(image: bytes) -> np.ndarray:
    """The pixels of a PNG, as its format defines it: length, kind, body, checksum of each part."""
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    at, bodies = 8, {}
    while at < len(image):
        (length,) = struct.unpack(">I", image[at : at + 4])
        kind, body = image[at + 4 : at + 8], image[at + 8 : at + 8 + length]
        assert struct.unpack(">I", image[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + body),)
        bodies[kind] = body
        at += 12 + length
    width, height = struct.unpack(">II", bodies[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(bodies[b"IDAT"]), dtype=np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_a_png_decodes_to_the_pixels_it_was_made_of() -> None:
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    assert (decoded(png(pixels)) == pixels).all()


def test_a_line_goes_up_where_the_values_do() -> None:
    pixels = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
    line(pixels, np.array([0.0, 99.0]), np.array([200.0, 2.0]), colour=(0, 0, 0))
    lowest = [HEIGHT - 1 - int(np.argmin(pixels[::-1, column, 0])) for column in (0, 50, 98)]
    assert lowest == [201, 101, 5]  # two pixels thick


def test_an_unknown_value_leaves_a_gap() -> None:
    pixels = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
    line(pixels, np.array([0.0, 10.0, 20.0, 30.0]), np.array([5.0, np.nan, 5.0, 5.0]), colour=(0, 0, 0))
    assert (pixels[:, 2:19] == 255).all()
    assert (pixels[:, 22:29] == 0).any(axis=(0, 2)).all()


def test_the_fan_is_right_of_the_known_values_and_inside_the_margins() -> None:
    pixels = draw(report_data())
    coloured = (pixels != 255).any(axis=2)
    inner = coloured[MARGIN : HEIGHT - MARGIN + 1, MARGIN : WIDTH - MARGIN]
    assert coloured.sum() == inner.sum()
    fan = ((pixels == (150, 195, 235)).all(axis=2)).any(axis=0)
    assert fan.any()
    assert np.argmax(fan) > WIDTH * 0.85


def test_the_markdown_is_one_inline_image_with_a_text_alternative() -> None:
    text = fan_markdown(report_data())
    alternative, _, address = text.removeprefix("![").partition("](")
    assert "80 % and 90 % interval" in alternative
    kind, _, body = address.removesuffix(")").partition(",")
    assert kind == "data:image/png;base64"
    assert decoded(base64.b64decode(body)).shape == (HEIGHT, WIDTH, 3)
    assert len(text) < 20_000
