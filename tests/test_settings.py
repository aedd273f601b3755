"""Settings and the values of options, variables, forecasting.toml and Python's callers."""

import os
import stat
from contextlib import nullcontext
from datetime import date, time
from pathlib import Path

import pandas as pd
import pytest

from forecasting.errors import UsageError
from forecasting.settings import (
    EXAMPLES,
    Settings,
    read_settings,
    setting_places,
    settings_to_send,
    sqlite_database,
    write_config,
)
from forecasting.values import (
    MarketChoice,
    check_day,
    check_option,
    check_symbol,
)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """A working folder without a forecasting.toml above it."""
    monkeypatch.chdir(tmp_path)


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    unset = Settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"FORECASTING_{name.upper()}", "")
    assert read_settings() == unset


@pytest.mark.parametrize(
    ("name", "texts", "words"),
    [
        ("MEMBERS", ["none"], "expected a valid integer, found 'none'"),
        ("TARGETS", ["price"], "expected 'volume', 'close' or 'range', found 'price'"),
        ("SYMBOLS", ["SBUX,msft"], "Invalid symbol 'msft': expected 1 to 15 of A-Z"),
        ("SYMBOLS", [",", " , "], "Expected one or several, found none"),
        ("EXCHANGES", ["vod=XLON"], "Invalid symbol 'vod': expected 1 to 15 of A-Z"),
        ("COST_RATIO", ["0", "-3", "inf", "nan", "three"], ""),
        (
            "TIMEZONE",
            ["Mars/Olympus", "America", "/etc/passwd", "../UTC", "x" * 300, "New York"],
            "expected a time zone such as America/New_York",
        ),
        (
            "PAGES_URL",
            ["file:///reports", "https://host/a b", "https://user:pw@host/", "javascript:x"],
            "Expected an",
        ),
        ("WITNESS", ["yahoo"], "Expected another source"),
        (
            "MARKET",
            ["vix", "VIX.csv", "csv:a name with spaces.csv", "None"],
            "Expected none, a symbol",
        ),
        (
            "LATE_UNTIL",
            ["9", "9:00", "24:00", "09:00Z", "09:00+02:00", "09:00:00.5", "9 am"],
            "Expected a time of",
        ),
    ],
)
def test_an_invalid_variable_is_named_with_what_is_expected_and_no_secret_is_shown(
    monkeypatch, name, texts, words
):
    monkeypatch.setenv("FORECASTING_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1/ledger")
    monkeypatch.setenv("FORECASTING_SEED", "many")
    for text in texts:
        monkeypatch.setenv(f"FORECASTING_{name}", text)
        with pytest.raises(UsageError) as refused:
            read_settings()
        assert f"FORECASTING_{name}: {words}" in str(refused.value)
        # Each of them is named
        assert "FORECASTING_SEED: expected a valid integer" in str(refused.value)
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("cost_ratio", "3", 3.0),
        ("alerts", "median > 1.5 usual", "median > 1.5 usual"),
        ("alerts", " ; ", ""),
        # No night is lost for it: the digest names it
        ("alerts", "median >> 1.5", "median >> 1.5"),
        ("witness", "house:x", "house:x"),
        ("pages_url", "https://host.example:8443/reports/", "https://host.example:8443/reports"),
        ("late_until", "07:15", time(7, 15)),
        ("cron", "@daily", "@daily"),
        ("cron", "*/90 0-23/2 L JAN,3 5l", "*/90 0-23/2 L JAN,3 5l"),
    ],
)
def test_a_setting_that_changes_no_number_of_a_forecast_changes_no_hash(
    monkeypatch, name, text, value
):
    unset = read_settings()
    monkeypatch.setenv(f"FORECASTING_{name.upper()}", text)
    assert (getattr(read_settings(), name), read_settings().hash) == (value, unset.hash)


def test_settings_that_joined_later_are_of_the_hash_where_they_are_not_the_defaults():
    for name in ("scratch_every", "max_model_age"):
        usual = getattr(Settings(), name)
        assert (
            Settings(**{name: usual + 1}).hash != Settings().hash == Settings(**{name: usual}).hash
        )
    hashes = [Settings(source=source).hash for source in ("yahoo", "sample")]
    assert hashes[0] == hashes[1] == Settings().hash
    assert (
        Settings(market="csv:a/VIX.csv").hash
        == Settings(market="parquet:b/vix.parquet").hash
        != Settings().hash
    )


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("SYMBOL", "SYMBOLS"),
        ("DATADIR", "DATA_DIR"),
        ("TIME_ZONE", "TIMEZONE"),
        ("NOTIFI", "NOTIFY"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name_and_others_are_left(
    monkeypatch, wrong, nearest
):
    for name in ("DB_PASSWORD", "OWNED_BY"):
        monkeypatch.setenv(f"FORECASTING_{name}", "x")
    read_settings()
    monkeypatch.setenv(f"FORECASTING_{wrong}", "MSFT")
    with pytest.raises(UsageError, match=rf"found FORECASTING_{wrong} \(FORECASTING_{nearest}\?\)"):
        read_settings()


@pytest.mark.parametrize(
    "wrong", ["forecasting_databse_url", "forecasting_database_url.txt", "FORECASTING_NOTIFI"]
)
def test_a_misspelt_secret_file_is_refused_and_others_are_left(monkeypatch, tmp_path, wrong):
    monkeypatch.setenv("FORECASTING_SECRETS_DIR", str(tmp_path))
    for name in (
        "forecasting_db_password",
        "forecasting_owned_by",
        "web_database_url",
        "forecasting_notify",
    ):
        (tmp_path / name).write_text("none")
    read_settings()
    (tmp_path / wrong).write_text("hunter2")
    with pytest.raises(
        UsageError, match=rf"FORECASTING_SECRETS_DIR, found {wrong} \(FORECASTING_\w+\?\)"
    ):
        read_settings()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, two folders below one that has a forecasting.toml."""
    (tmp_path / "forecasting.toml").write_text(
        'data_dir = "ledger"\nsymbols = ["SBUX", "VOD.L"]\ntarget = "range"\nlate_until = '
        "07:15:00\n"
        'exchanges = {"VOD.L" = "XAMS"}\ncost_ratio = 2\nAlerts = ["median > 2 usual", "SBUX q90 > '
        '2e7"]\n'
    )
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    return tmp_path


def test_the_nearest_file_above_the_data_folder_else_the_working_one_is_read_and_variables_come_first(
    folder, monkeypatch
):
    monkeypatch.setenv("FORECASTING_TARGET", "close")
    found = read_settings()
    assert (found.symbols, found.target, found.late_until) == (
        ("SBUX", "VOD.L"),
        "close",
        time(7, 15),
    )
    assert (found.exchanges, found.cost_ratio, found.data_dir) == (
        {"VOD.L": "XAMS"},
        2.0,
        folder / "ledger",
    )
    assert found.alerts == "median > 2 usual; SBUX q90 > 2e7"
    (folder / "a" / "forecasting.toml").write_text('symbols = "MSFT"')
    assert (read_settings().symbols, read_settings().data_dir) == (
        ("MSFT",),
        folder / "a" / "forecasting-data",
    )
    monkeypatch.setenv("FORECASTING_DATA_DIR", "/nowhere/data")
    assert (read_settings().symbols, read_settings().data_dir) == (("MSFT",), Path("/nowhere/data"))
    monkeypatch.setenv("FORECASTING_CONFIG", str(folder / "a" / "home.toml"))
    (folder / "a" / "home.toml").write_text('data_dir = "~/data"\nsource = "csv:~/SBUX.csv"')
    monkeypatch.delenv("FORECASTING_DATA_DIR")
    assert (read_settings().data_dir, read_settings().source) == (
        Path.home() / "data",
        f"csv:{Path.home()}/SBUX.csv",
    )
    monkeypatch.delenv("FORECASTING_CONFIG")
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(folder / "elsewhere"))
    assert read_settings().symbols == ("SBUX", "VOD.L")
    # Of which pydantic would make nine seconds
    (folder / "forecasting.toml").write_text("late_until = 9")
    with pytest.raises(
        UsageError, match=r"late_until in .*: Expected a time .* such as 09:00, found 9"
    ):
        read_settings()
    monkeypatch.setenv("FORECASTING_CONFIG", str(folder / "a" / "forecasting.toml"))
    assert read_settings().symbols == ("MSFT",)


@pytest.mark.parametrize(
    ("file", "variables", "targets"),
    [
        ('targets = ["range", "volume", "range"]', {}, ("range", "volume")),
        ('targets = "all"', {}, ("volume", "close", "range")),
        ('target = "range"', {}, ("range",)),
        ('targets = "all"', {"TARGET": "close"}, ("close",)),
        ('target = "range"', {"TARGETS": "volume, close"}, ("volume", "close")),
        ("", {"TARGET": "close", "TARGETS": "all"}, ("volume", "close", "range")),
    ],
)
def test_targets_are_one_list_of_which_target_is_another_name(
    folder, monkeypatch, file, variables, targets
):
    (folder / "forecasting.toml").write_text(file)
    for name, text in variables.items():
        monkeypatch.setenv(f"FORECASTING_{name}", text)
    settings = read_settings()
    assert settings.targets == targets
    names = [f"SBUX {target}" for target in targets]
    assert [*settings.series] == (names if len(targets) > 1 else ["SBUX"])
    hashes = [one.hash for one in settings.series.values()]
    assert hashes == [Settings(target=target).hash for target in targets]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("source", "parquet:bars/x.parquet", "parquet:{}/bars/x.parquet"),
        ("witness", "csv:../second.csv", "csv:{}/../second.csv"),
        ("events", "csv:/house/dates.csv", "csv:/house/dates.csv"),
        ("market", "csv:VIX.csv", "csv:{}/VIX.csv"),
        ("market", "^VIX", "^VIX"),
        ("source", "house:x.csv", "house:x.csv"),
        ("files", "in, /house", (Path("{}/in"), Path("/house"))),
        ("files", ["in", "~/in"], (Path("{}/in"), Path.home() / "in")),
    ],
)
def test_a_relative_path_is_of_the_folder_of_its_file_and_in_a_variable_of_the_working_one(
    folder, monkeypatch, name, text, found
):
    (folder / "forecasting.toml").write_text(f"{name} = {text!r}")
    placed = getattr(read_settings(), name)
    if isinstance(found, str):
        assert placed == found.format(folder)
    else:
        assert placed == tuple(Path(str(path).format(folder)) for path in found)
    monkeypatch.setenv(f"FORECASTING_{name.upper()}", "csv:VIX.csv")
    assert getattr(read_settings(), name) in ("csv:VIX.csv", (Path("csv:VIX.csv"),))


def test_the_ledger_of_a_file_without_a_data_folder_is_in_the_folder_of_the_file(
    folder, monkeypatch
):
    working = folder / "50% a" / "b"
    working.mkdir(parents=True)
    monkeypatch.chdir(working)
    config = working.parent / "forecasting.toml"
    config.write_text("")
    assert (
        sqlite_database(read_settings().url) == f"{config.parent}/forecasting-data/forecasting.db"
    )
    config.write_text('database_url = "sqlite:///x%20y.db"')
    assert sqlite_database(read_settings().url) == f"{config.parent}/x y.db"


def test_each_setting_is_listed_with_its_place(folder, monkeypatch):
    for name in ("notify", "seed"):
        (folder / f"forecasting_{name}").write_text("7")
    for name, text in (("SECRETS_DIR", str(folder)), ("SEED", "8"), ("TARGET", "")):
        monkeypatch.setenv(f"FORECASTING_{name}", text)
    config = str(folder / "forecasting.toml")
    in_file = dict.fromkeys(
        ["data_dir", "symbols", "targets", "late_until", "exchanges", "cost_ratio", "alerts"],
        config,
    )
    assert setting_places() == {
        **in_file,
        "notify": str(folder / "forecasting_notify"),
        "seed": "environment",
    }


def test_a_file_that_another_user_has_put_above_is_passed_over(folder, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    if (folder / "forecasting.toml").stat().st_uid == 0:
        os.chown(folder / "forecasting.toml", 4243, -1)
    assert read_settings().symbols == ("SBUX",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'databas_url = "postgresql://u:hunter2@h/d"',
            "databas_url in {}: no such setting (database_url?)",
        ),
        ('[forecasting]\nnotify = "hunter2"', "forecasting in {}: no such setting."),
        ("notify = 42\nseed = 'many'", "seed in {}: expected a valid integer, found 'many'"),
        ("members = 2", "setting. FORECASTING_RUNNER: expected 'local'"),
        (
            "seed =",
            'TOML, such as symbols = "SBUX,MSFT", in {} (FORECASTING_CONFIG); found: Invalid value',
        ),
        (None, "in {} (FORECASTING_CONFIG); found: No such file"),
    ],
)
def test_a_file_that_is_not_valid_is_named_and_no_secret_is_quoted(
    tmp_path, monkeypatch, text, words
):
    monkeypatch.setenv("FORECASTING_CONFIG", str(tmp_path / "own.toml"))
    monkeypatch.setenv("FORECASTING_RUNNER", "nightly")
    if text is not None:
        (tmp_path / "own.toml").write_text(text)
        (tmp_path / "own.toml").chmod(0o600)
    with pytest.raises(UsageError) as refused:
        read_settings()
    assert words.format(tmp_path / "own.toml") in str(refused.value)
    assert not any(other in str(refused.value) for other in ("hunter2", "42,", "SECRETS_DIR"))


def test_a_written_file_gives_the_same_settings_replaces_none_and_stands_before_one_above(
    tmp_path, monkeypatch
):
    given = {
        "SYMBOLS": "SBUX,VOD.L",
        "EXCHANGES": "VOD.L=XAMS",
        "LATE_UNTIL": "07:15",
        "COST_RATIO": "2",
    }
    given |= {"DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": "postgresql://u:hunter2@h/d"}
    with monkeypatch.context() as patch:
        for name, text in given.items():
            patch.setenv(f"FORECASTING_{name}", text)
        settings = read_settings()
        path = tmp_path / "forecasting.toml"
        assert write_config() == str(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(UsageError, match=r"forecasting\.toml; found: File exists\. Edit"):
            write_config()
    assert "hunter2" not in path.read_text()
    assert read_settings() == settings.model_copy(update={"database_url": None})
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    assert write_config() == f"{tmp_path / 'a' / path.name}, which is read here before {path}"
    assert read_settings() == Settings.model_construct(data_dir=tmp_path / "a" / "forecasting-data")
    monkeypatch.chdir(tmp_path / "a" / "b")
    monkeypatch.setenv("FORECASTING_CONFIG", str(path))
    assert write_config().endswith(f"b/forecasting.toml, after {path}")


@pytest.mark.parametrize(
    ("mode", "text", "held"),
    [
        (
            0o644,
            'database_url = "postgresql://u:hunter2@h/d"\nnotify = ["json://hunter2"]',
            "database_url and notify",
        ),
        (0o640, 'notify = "json://hunter2"', "notify"),
        (0o600, 'notify = "json://hunter2"', ""),
        (0o644, 'database_url = "postgresql:///d"\nnotify = "none"', ""),
    ],
)
def test_a_file_that_others_can_read_is_refused_by_name_where_it_has_a_secret(
    tmp_path, mode, text, held
):
    path = tmp_path / "forecasting.toml"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(UsageError) if held else nullcontext() as refused:
        read_settings()
    if held:
        assert f"Expected {path} to" in str(refused.value)
        assert f"it holds {held}; found mode {mode:04o}. Run `chmod 600 {path}`" in str(
            refused.value
        )
        assert "hunter2" not in str(refused.value)
        assert settings_to_send().notify is not None  # that a night failed for it is sent


def test_each_line_of_a_written_file_and_all_are_valid_without_the_comment_sign_and_defaults_where_there_are(
    tmp_path,
):
    write_config()
    path = tmp_path / "forecasting.toml"
    lines = [line.removeprefix("# ") for line in path.read_text().splitlines() if " = " in line]
    assert [line.split()[0] for line in lines] == list(Settings.model_fields)
    for text in (*lines, "\n".join(lines)):
        path.write_text(text)
        found = dict(read_settings())
    defaults = {**dict(Settings.model_construct()), "data_dir": tmp_path / "forecasting-data"}
    assert {name for name, value in found.items() if value != defaults[name]} == {*EXAMPLES}


@pytest.mark.parametrize(
    ("source", "market", "chosen"),
    [
        ("yahoo", None, MarketChoice("^VIX", "yahoo", "XNYS")),
        ("csv:SBUX.csv", None, None),
        ("yahoo", "none", None),
        ("parquet:panel.parquet", "^GSPC", MarketChoice("^GSPC", "parquet:panel.parquet", "XNYS")),
        ("yahoo", "csv:data/VIX.csv", MarketChoice("^VIX", "csv:data/VIX.csv", "XNYS", True)),
        (
            "sample",
            "parquet:^vix.parquet",
            MarketChoice("^VIX", "parquet:^vix.parquet", "XNYS", True),
        ),
        ("yahoo", "VUSA.L", MarketChoice("VUSA.L", "yahoo", "XLON")),
        ("yahoo", "^N225", MarketChoice("^N225", "yahoo", "XTKS")),
    ],
)
def test_the_setting_or_its_default_chooses_symbol_source_and_exchange_of_the_market_series(
    source, market, chosen
):
    assert (
        Settings(
            source=source, market=market, exchange="XTKS", exchanges="^N225=XTKS"
        ).market_choice
        == chosen
    )


def test_a_symbol_is_accepted_as_yahoo_writes_it_and_no_other():
    for symbol in ("SBUX", "BRK-B", "VOD.L", "^GSPC", "7203.T"):
        assert check_symbol(symbol) == symbol
    for symbol in ("", "sbux", "../SBUX", "-SBUX", "SB UX", "A" * 16, "SBUX\n"):
        with pytest.raises(UsageError, match="write it as Yahoo does") as refused:
            check_symbol(symbol)
        assert repr(symbol) in str(refused.value)


def test_a_day_is_a_date_inside_the_calendars_its_text_or_a_midnight():
    for day in (date(2024, 3, 8), "2024-03-08", pd.Timestamp("2024-03-08")):
        assert check_day("as_of", day) == date(2024, 3, 8)
    wrong = {"8 March": "the form", "2024-02-30": "the form", "1022-03-08": "a day from 1962"}
    wrong |= dict.fromkeys((pd.Timestamp("2024-03-08 01:00"), 20240308, None), "")
    for day, words in wrong.items():
        with pytest.raises(UsageError, match=f"^Invalid .*{words}"):
            check_day("as_of", day)


def test_an_option_is_refused_as_it_was_typed():
    for given in (("target", "range"), ("market", "none"), ("cost_ratio", "2.5")):
        assert check_option(*given) == given[1]
    wrong = {
        "target": ["volumes", ""],
        "market": ["VIX.csv"],
        "cost_ratio": ["0", "-1", "nan", "1e999", "three"],
    }
    for name, text in ((name, text) for name, texts in wrong.items() for text in texts):
        with pytest.raises(
            UsageError, match=rf"^Invalid --{name.replace('_', '-')} '{text}': expected "
        ):
            check_option(name, text)
