import os
import signal
import stat
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, nullcontext

import httpx
import prefect
import psutil
import pytest
from prefect.context import SyncClientContext
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_HOME,
    PREFECT_SERVER_API_PORT,
    temporary_settings,
)

from flows import server, start
from flows.cli import main
from forecasting.errors import ForecastingError, UsageError
from forecasting.night.folders import SERVED
from forecasting.settings import read_settings
from forecasting.store import migrate
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
        with temporary_settings({PREFECT_API_URL: url}):
            main(lambda: found.append(server.check_server()))
        assert found == [url]
        assert httpx.get(url).text == "true"  # as Prefect's client does
    assert bool(urllib.request.proxy_bypass("example.org")) is bool(exempt)


def test_a_configured_server_is_returned_when_it_responds_and_named_when_it_does_not():
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(UsageError, match="PREFECT_API_URL"),
    ):
        server.check_server()
    with health(b"true") as url, temporary_settings({PREFECT_API_URL: url}):
        assert server.check_server() == url
        with server.ensure_server() as used:
            assert used == url.removesuffix("/api")
    with (
        temporary_settings({PREFECT_API_URL: url}),
        pytest.raises(ForecastingError, match=f"{url} does not respond"),
    ):
        server.check_server()
    for other, words in (
        ((404, b""), r"API does \(404 Not Found\)"),
        ((200, b"<p>"), "responds, but"),
    ):
        web = http_source(lambda *_, other=other: other)
        with (
            web as url,
            temporary_settings({PREFECT_API_URL: url}),
            pytest.raises(ForecastingError, match=words),
        ):
            server.check_server()


def test_a_server_behind_a_gateway_is_reached_as_prefects_settings_say(caplog):
    with health(b"true", key="geheim") as url:
        with temporary_settings({PREFECT_API_URL: url, PREFECT_API_KEY: "geheim"}):
            assert server.check_server() == url
        assert not caplog.messages  # it is not open to all
        with (
            temporary_settings({PREFECT_API_URL: url}),
            pytest.raises(ForecastingError, match="401 Unauthorized"),
        ):
            server.check_server()


@pytest.mark.parametrize(
    "place", ["127.0.0.1:1/api", "127.0.0.1:port/api", "127.0.0.1:1/api?key=geheim#geheim"]
)
def test_a_password_in_the_address_is_in_no_error(place):
    configured = temporary_settings({PREFECT_API_URL: f"http://user:geheim@{place}"})
    with (
        configured,
        pytest.raises(
            ForecastingError, match=r"server http://127\.0\.0\.1:\S+ does not respond"
        ) as error,
    ):
        server.check_server()
    assert "geheim" not in str(error.value)


def test_a_header_that_cannot_be_sent_is_in_no_error():
    headers = {PREFECT_CLIENT_CUSTOM_HEADERS: {"X-Key": "geheim\n"}}
    refused = pytest.raises(ForecastingError, match="PREFECT_CLIENT_CUSTOM_HEADERS")
    with (
        health(b"true") as url,
        temporary_settings({PREFECT_API_URL: url} | headers),
        refused as error,
    ):
        server.check_server()
    assert "geheim" not in str(error.value)


def test_a_server_that_everybody_may_use_is_named_in_a_warning(caplog):
    with (
        health(b"true") as url,
        temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: "admin:pw"}),
    ):
        server.check_server()
    assert f"{url} requires no password" in caplog.text


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """The data folder of a `serve` without a configured server, which starts no process."""
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(
        server.psutil, "Popen", lambda *_, **__: pytest.fail("a process was started")
    )
    return tmp_path


def test_a_port_that_is_taken_is_an_error_and_who_listens_there_gets_no_request(own_folder):
    asked = []

    def answer(path, headers):
        asked.append(path)
        return 200, b"true"

    with (
        http_source(answer) as url,
        temporary_settings({PREFECT_HOME: own_folder}, restore_defaults={PREFECT_API_URL}),
    ):
        port = httpx.URL(url).port
        taken = pytest.raises(
            ForecastingError, match=f"port {port} of 127.0.0.1 .* Set PREFECT_SERVER_API_PORT"
        )
        with temporary_settings({PREFECT_SERVER_API_PORT: port}), taken, server.ensure_server():
            pass
    assert asked == []


def test_a_command_that_its_server_refuses_leaves_no_database(own_folder, monkeypatch):
    for name, value in {"FORECASTING_SOURCE": "sample", "PREFECT_HOME": str(own_folder)}.items():
        monkeypatch.setenv(name, value)
    with (
        health(b"true") as url,
        temporary_settings({PREFECT_HOME: own_folder}, restore_defaults={PREFECT_API_URL}),
    ):
        taken = {PREFECT_SERVER_API_PORT: httpx.URL(url).port}
        silent = {PREFECT_API_URL: "http://127.0.0.1:1/api"}
        for other in (taken, silent):
            with (
                temporary_settings(other),
                pytest.raises(ForecastingError, match=r"Expected port|does not respond"),
            ):
                start.start_serving()
            assert not list(own_folder.rglob("*.db*"))


@pytest.mark.slow
def test_a_night_whose_server_does_not_respond_runs_without_it(night_folder, monkeypatch, capsys):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        start.start_night(as_of=LAST, mode="auto", switch_source=False)
    (run,) = rows("runs")
    assert (run["status"], run["flow_run_id"]) == ("done", None)
    assert "does not respond" in capsys.readouterr().err


def test_what_listens_beside_the_process_that_was_started_is_not_taken_for_it(monkeypatch):
    monkeypatch.setattr(server, "START_S", 0.5)
    with (
        health(b"true") as url,
        psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process,
    ):
        with pytest.raises(ForecastingError, match="did not respond within"):
            server._await_own(process, httpx.URL(url).port)
        process.kill()


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


@pytest.mark.parametrize("spoilt", ["readable", "link", "empty"])
def test_a_password_that_others_read_or_could_have_placed_is_replaced(own_folder, spoilt):
    path = own_folder / "prefect-auth"
    other = own_folder / "other"
    other.write_text("admin:x")
    if spoilt == "link":
        path.symlink_to(other)
    else:
        path.write_text("admin:x" if spoilt == "readable" else "")
        path.chmod(0o644 if spoilt == "readable" else 0o600)
    password = server.own_password()
    assert password.startswith("admin:")
    assert len(password) > 30
    assert path.read_text() == f"{password}\n"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert other.read_text() == "admin:x"


def test_a_stored_password_stays_the_same_and_is_its_users_alone(own_folder, monkeypatch):
    first = server.own_password()
    assert server.own_password() == first
    assert first.startswith("admin:")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "geheim")
    with pytest.raises(UsageError, match="AUTH_STRING: expected USER:PASSWORD") as refused:
        server.own_password()
    assert "geheim" not in str(refused.value)
    assert server.own_file(server.AUTH).read_text() == f"{first}\n"
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:mine")
    assert server.own_password() == "me:mine"
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING")
    assert server.own_password() == "me:mine"
    assert [stat.S_IMODE(path.stat().st_mode) for path in own_folder.iterdir()] == [0o600]


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


def test_a_server_that_did_not_respond_is_not_waited_for_again_until_it_responds():
    retries = []
    waits_s = []
    with (
        health(b"true") as url,
        temporary_settings({PREFECT_API_URL: url}),
        SyncClientContext() as of_run,
    ):
        for responds in (False, False, True, True):
            with server.tolerate_outage("the artifacts"):
                retries.append(PREFECT_CLIENT_MAX_RETRIES.value())
                waits_s.append(prefect.get_client(sync_client=True)._client.timeout.read)
                if not responds:
                    raise httpx.ConnectError("refused")
        assert prefect.get_client(sync_client=True) is of_run.client
    usual = PREFECT_CLIENT_MAX_RETRIES.value()
    usual_s = PREFECT_API_REQUEST_TIMEOUT.value()
    assert usual > 0
    assert usual_s > 5.0
    assert retries == [usual, 0, 0, usual]
    assert waits_s == [usual_s, 5.0, 5.0, usual_s]


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


def test_a_script_that_starts_a_worker_in_the_background_can_end_it(monkeypatch, tmp_path):
    """Prefect's worker, told to end by SIGTERM, interrupts itself.

    `worker &` of a script ignores interrupts.
    """
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    migrate.upgrade(read_settings().url)
    became = []
    monkeypatch.setattr(server, "check_server", lambda: None)
    monkeypatch.setattr(
        os, "execv", lambda _, words: became.append((words[1:], signal.getsignal(signal.SIGINT)))
    )
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        server.start_worker("nights")
    finally:
        signal.signal(signal.SIGINT, before)
    assert became == [(["-m", "prefect", "worker", "start", "--pool", "nights"], signal.SIG_DFL)]
