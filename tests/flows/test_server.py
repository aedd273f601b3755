import sys
import urllib.request
from contextlib import contextmanager, nullcontext

import httpx
import prefect
import pytest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    PREFECT_HOME,
    PREFECT_SERVER_API_PORT,
    temporary_settings,
)

from flows import server, start
from flows.cli import main
from forecasting.errors import ForecastingError, UsageError
from tests.builders import LAST
from tests.flows.sinks import http_source
from tests.nights import rows


@contextmanager
def health(body, *, key=""):
    """The URL of an API on loopback whose every response is `body`, but its version.

    With `key` only to its holder.
    """

    def answer(path, headers):
        allowed = not key or headers.get("Authorization") == f"Bearer {key}"
        version = f'"{prefect.__version__}"'.encode()
        return 200 if allowed else 401, version if path.endswith("/admin/version") else body

    with http_source(answer) as address:
        yield f"{address}/api"


def configured(url, others=()):
    """A block in which this server is configured, and of settings of Prefect these."""
    return temporary_settings({PREFECT_API_URL: url} | dict(others))


@pytest.mark.parametrize("exempt", ["", "example.org", "*", "127.0.0.1,example.org"])
def test_a_command_reaches_a_server_on_this_machine_past_a_proxy(exempt, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["forecasting"])
    for name, value in {
        "http_proxy": "http://127.0.0.1:9",
        "NO_PROXY": exempt,
        "no_proxy": "",
    }.items():
        monkeypatch.setenv(name, value)
    found = []
    with health(b"true") as url:
        with configured(url):
            main(lambda: found.append(server.check_server()))
        assert found == [url]
        assert httpx.get(url).text == "true"  # as Prefect's client does
    assert bool(urllib.request.proxy_bypass("example.org")) is bool(exempt)


def test_a_configured_server_that_is_open_to_all_is_used_with_a_warning(caplog):
    with (
        health(b"true") as url,
        configured(url, {PREFECT_API_AUTH_STRING: "admin:pw"}),
        server.ensure_server() as used,
    ):
        assert used == url
    assert f"{url} requires no password" in caplog.text


def test_a_server_behind_a_gateway_is_reached_as_prefects_settings_say(caplog):
    with health(b"true", key="geheim") as url:
        with configured(url, {PREFECT_API_KEY: "geheim"}):
            assert server.check_server() == url
        assert not caplog.messages  # it is not open to all
        with configured(url), pytest.raises(UsageError, match="401 Unauthorized"):
            server.check_server()


@pytest.mark.parametrize(
    ("answer", "words"),
    [((404, b""), r"\(404 Not Found\)"), ((200, b"<p>"), r"\(JSONDecodeError\)")],
)
def test_what_is_no_server_of_prefect_is_named(answer, words):
    with (
        http_source(lambda *_: answer) as url,
        configured(url),
        pytest.raises(ForecastingError, match=rf"{url} does not respond as .*{words}"),
    ):
        server.check_server()


@pytest.mark.parametrize(
    ("place", "headers"),
    [
        ("user:geheim@127.0.0.1:port/api", {}),
        ("user:geheim@127.0.0.1:1/api?key=geheim#geheim", {}),
        ("127.0.0.1:1/api", {"X-Key": "geheim\n"}),
    ],
)
def test_a_password_in_an_address_or_a_header_is_in_no_error(place, headers):
    asked = configured(f"http://{place}", {PREFECT_CLIENT_CUSTOM_HEADERS: headers})
    words = r"server http://127\.0\.0\.1:\S+ does not respond"
    with asked, pytest.raises(ForecastingError, match=words) as error:
        server.check_server()
    assert "geheim" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("home", ["", "a home with a server.pid"])
def test_a_port_that_another_program_has_is_an_error_and_no_database_is_left(
    home, tmp_path, monkeypatch
):
    for name in ("DATA_DIR", "SOURCE"):
        monkeypatch.setenv(f"FORECASTING_{name}", {"SOURCE": "sample"}.get(name, str(tmp_path)))
    if home:
        (tmp_path / "server.pid").write_text("1")
    with http_source(lambda *_: (404, b"")) as url:
        port = httpx.URL(url).port
        for name, value in {"HOME": tmp_path, "SERVER_API_PORT": port}.items():
            monkeypatch.setenv(f"PREFECT_{name}", str(value))
        own = temporary_settings(
            {PREFECT_HOME: tmp_path, PREFECT_SERVER_API_PORT: port},
            restore_defaults={PREFECT_API_URL},
        )
        with own, pytest.raises(ForecastingError, match=rf"Port {port} is already in use.* Set PR"):
            start.start_serving(mode="auto", switch_source=False)
    assert list(tmp_path.rglob("forecasting.db*")) == []


@pytest.mark.slow
def test_a_night_whose_server_does_not_respond_runs_without_it(night_folder, monkeypatch, capsys):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    with configured("http://127.0.0.1:1/api"):
        start.start_night(as_of=LAST, mode="auto", switch_source=False)
    (run,) = rows("runs")
    assert (run["status"], run["flow_run_id"]) == ("done", None)
    assert "does not respond" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def no_outage(monkeypatch):
    monkeypatch.setattr(server, "_outages", [])


@pytest.mark.parametrize(
    ("status", "raised"), [(422, True), (404, True), (500, False), (None, False)]
)
def test_an_outage_is_a_warning_that_names_what_is_missing_and_our_own_mistake_an_error(
    status, raised, caplog
):
    expected = pytest.raises(httpx.HTTPStatusError) if raised else nullcontext()
    with expected, server.tolerate_outage("the artifacts"):
        if status is None:
            raise httpx.ConnectError("refused")
        httpx.Response(
            status, request=httpx.Request("POST", "http://127.0.0.1/api/artifacts")
        ).raise_for_status()
    assert ("did not receive the artifacts: " in caplog.text) is not raised
