# ruff: noqa: RUF001 - what is printed is compared as it is

from __future__ import annotations

from forecasting.report.text_table import paragraph, text_table

COLUMNS = ["symbol", "share", "what was found"]
ROWS = [["SBUX", "+1.5\N{NO-BREAK SPACE}%", "every bar passed every check"], ["BRK-B", "\N{EN DASH}", None]]


def test_numbers_are_right_and_texts_left() -> None:
    assert text_table(COLUMNS, ROWS, width=None).splitlines() == [
        "symbol   share  what was found",
        "------  ------  ----------------------------",
        "SBUX    +1.5 %  every bar passed every check",
        "BRK-B        –",
    ]


def test_a_narrow_table_breaks_its_widest_column_between_words() -> None:
    assert text_table(COLUMNS, ROWS, width=32).splitlines() == [
        "symbol   share  what was found",
        "------  ------  ----------------",
        "SBUX    +1.5 %  every bar passed",
        "                every check",
        "BRK-B        –",
    ]


def test_no_line_is_wider_than_the_terminal_even_without_a_space() -> None:
    shown = text_table(["path", "n"], [["/" + "x" * 200, 1]], width=40)
    assert max(map(len, shown.splitlines())) == 40
    assert shown.replace("\n", "").replace(" ", "").count("x") == 200


def test_a_table_without_rows_has_its_head() -> None:
    assert text_table(["a", "bb"], [], width=80) == "a  bb\n-  --"


def test_a_hostile_cell_is_one_line_without_escape_codes() -> None:
    assert text_table(["a"], [["x\x1b[31m\ny"]], width=None).splitlines()[2] == "x\N{REPLACEMENT CHARACTER}[31m y"


def test_a_paragraph_is_broken_between_words_for_a_terminal_alone() -> None:
    text = "80\N{NO-BREAK SPACE}% interval of SBUX"
    assert paragraph(text, width=None) == "80 % interval of SBUX"
    assert paragraph(text, width=12, indent="  ") == "80 %\n  interval\n  of SBUX"
