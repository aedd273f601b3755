import pickle

import pytest

from forecasting.errors import DataLateError, ForecastingError, RateLimitedError, UsageError
from forecasting.plain_text import LIMIT, markdown_text, plain_text

HOSTILE = "a\x1b[31mred\x07\nnext\tline\r\u202egnp\u200b.exe \x9b2J \udcff \u2028end"


def test_the_text_is_one_line_without_control_characters_and_ordinary_text_is_left():
    assert plain_text(HOSTILE) == "a�[31mred� next line �gnp�.exe �2J �  end"
    text = "^GSPC is expected to trade 5.15\N{NO-BREAK SPACE}B shares (80% interval 3.83\N{EN DASH}7.44 B), über 日本"
    assert plain_text(text) == text


@pytest.mark.parametrize("limit", [40, LIMIT])
def test_a_text_of_five_megabytes_is_cut_and_its_length_stated(limit):
    found = plain_text("x" * 5_000_000, limit=limit)
    assert len(found) == limit
    assert found.endswith(" ... (5,000,000 characters in all)")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://me:hunter2@db:5432/x, say", "at postgresql://me:*** say"),
        # Cut before its @
        ("found 'postgresql+psycopg://me:hun'", "found 'postgresql+psycopg://me:***'"),
        ("file postgresql:/me:hunter2@db/x", "file postgresql:/me:***"),  # as pathlib writes it
        ("https://:hunter2@gate/api", "https://:***"),
        ("db/x?password=hunter2&sslpassword=hunter2", "db/x?password=***&sslpassword=***"),
        ("for url 'https://gate:443/api?key=hunter2&x=1'.", "for url 'https://gate:443/api?***'."),
        *(
            (text, text)
            for text in ("http://127.0.0.1:4200/api", "tcp://host:8786.", "sqlite:////a:b@c/x.db")
        ),
        *(
            (text, text)
            for text in (
                "postgresql://me@db/x",
                "csv:/srv/bars:2.csv",
                "http://[::1]:80/",
                "12:30:45",
            )
        ),
        *(
            (text, text)
            for text in ("like postgresql://USER:PASSWORD@HOST:5432/NAME", "http://HOST:PORT/PATH")
        ),
    ],
)
def test_the_password_or_query_of_a_url_is_not_repeated(text, shown):
    assert plain_text(text) == shown


def test_neither_image_nor_link_html_code_or_cell_arises_in_markdown():
    assert markdown_text("![a](http://x/y) <img src=x> `c` | \\") == (
        r"!\[a\](http://x/y) \<img src=x\> \`c\` \| " + "\\\\"
    )


@pytest.mark.parametrize("kind", [ForecastingError, UsageError, DataLateError, RateLimitedError])
def test_every_error_of_ours_is_clean_and_survives_another_process(
    kind,
):
    assert str(pickle.loads(pickle.dumps(kind(HOSTILE)))) == plain_text(HOSTILE)
    assert len(str(kind("x" * 5_000_000))) == LIMIT
