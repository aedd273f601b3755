import os
import re
import stat
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
from forecasting.night.folders import SERVED
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
        assert used == url.removesuffix("/api")
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
        ("user:geheim@127.0.0.1:1/api", {}),
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


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """The data folder of a `serve` without a configured server, which starts no process."""
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(
        server.psutil, "Popen", lambda *_, **__: pytest.fail("a process was started")
    )
    return tmp_path


def test_a_port_that_is_taken_is_an_error_who_listens_there_gets_no_request_and_no_database_is_left(
    own_folder, monkeypatch
):
    asked = []

    def answer(path, headers):
        asked.append(path)
        return 200, b"true"

    for name, value in {"FORECASTING_SOURCE": "sample", "PREFECT_HOME": str(own_folder)}.items():
        monkeypatch.setenv(name, value)
    with http_source(answer) as url:
        port = httpx.URL(url).port
        own = temporary_settings(
            {PREFECT_HOME: own_folder, PREFECT_SERVER_API_PORT: port},
            restore_defaults={PREFECT_API_URL},
        )
        taken = f"port {port} of 127.0.0.1 .* Set PREFECT_SERVER_API_PORT"
        with own, pytest.raises(ForecastingError, match=taken):
            start.start_serving()
    assert (asked, list(own_folder.rglob("*.db*"))) == ([], [])


@pytest.mark.slow
def test_a_night_whose_server_does_not_respond_runs_without_it(night_folder, monkeypatch, capsys):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    with configured("http://127.0.0.1:1/api"):
        start.start_night(as_of=LAST, mode="auto", switch_source=False)
    (run,) = rows("runs")
    assert (run["status"], run["flow_run_id"]) == ("done", None)
    assert "does not respond" in capsys.readouterr().err


def store_password(folder):
    path = folder / "prefect-auth"
    path.touch(0o600)
    path.write_text("admin:x\n")


@pytest.mark.parametrize(
    "spoilt", ["", "other process", "no process", "no JSON", "no file", "readable"]
)
def test_a_server_is_that_of_serve_while_the_process_that_serve_has_named_listens(
    own_folder, spoilt
):
    store_password(own_folder)
    with health(b"true") as url:
        pid = {"other process": os.getppid(), "no process": 4194305}.get(spoilt, os.getpid())
        if spoilt != "no file":
            server.own_file(SERVED).write_text(
                "admin:x" if spoilt == "no JSON" else f"[{pid}, {httpx.URL(url).port}]"
            )
        if spoilt == "readable":  # by others
            server.own_file(server.AUTH).chmod(0o644)
        found = server.served()
        assert (found is None) == bool(spoilt)
        if found is not None:
            assert found[1] == {PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: "admin:x"}
    assert server.served() is None  # it listens no longer


@pytest.mark.parametrize(("text", "mode"), [("admin:x", 0o644), ("", 0o600), (None, 0o600)])
def test_a_password_that_others_read_or_could_have_placed_is_replaced(own_folder, text, mode):
    path = own_folder / "prefect-auth"
    other = own_folder / "other"
    other.write_text("admin:x")
    if text is None:
        path.symlink_to(other)
    else:
        path.write_text(text)
    path.chmod(mode)
    password = server.own_password()
    assert re.fullmatch("admin:.{30,}", password)
    assert path.read_text() == f"{password}\n"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert other.read_text() == "admin:x"


def test_a_stored_password_stays_the_same_unless_another_is_configured(own_folder, monkeypatch):
    first = server.own_password()
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "geheim")
    with pytest.raises(UsageError, match="AUTH_STRING: expected USER:PASSWORD") as refused:
        server.own_password()
    assert "geheim" not in str(refused.value)
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING")
    assert server.own_password() == first
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:mine")
    assert server.own_password() == "me:mine"
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING")
    assert server.own_password() == "me:mine"


def test_a_run_reaches_the_configured_server_else_that_of_serve(own_folder):
    with health(b"true") as url, health(b"true") as configured:
        with temporary_settings(restore_defaults={PREFECT_API_URL}):
            assert not server.has_server()
            store_password(own_folder)
            server.own_file(SERVED).write_text(f"[{os.getpid()}, {httpx.URL(url).port}]")
            assert server.has_server()
            with server.reached_server() as reached:
                assert (reached, PREFECT_API_AUTH_STRING.value()) == (url, "admin:x")
        with temporary_settings({PREFECT_API_URL: configured}), server.reached_server() as reached:
            assert reached == configured


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
