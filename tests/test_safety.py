"""What the running app refuses: other sites, other hosts, other people's files, whoever has not signed in."""

from __future__ import annotations

import json
import socket
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.testing.v1 import AppTest
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from tests.support.browser import PATIENCE, ROOT, free_port, opened, outside, serving

pytestmark = pytest.mark.browser
DONE = "[data-testid=stApp][data-test-script-state=notRunning]"


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def asked(url: str, path: str, *, method: str = "GET", **headers: str) -> int:
    """The status of one request, its headers exactly as given."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    with socket.create_connection(("127.0.0.1", port_of(url)), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(connection.recv(100).split()[1])


def handshake(url: str, *, host: str = "", origin: str = "") -> int:
    """The status of a WebSocket handshake: 101 is a session with the app."""
    own = url.removeprefix("http://")
    return asked(
        url,
        "/_stcore/stream",
        Host=host or own,
        Origin=origin or f"http://{host or own}",
        Upgrade="websocket",
        Connection="Upgrade",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        Sec_WebSocket_Version="13",
    )


# Who reaches it


def test_only_the_apps_own_page_gets_a_session(app: str) -> None:
    port = port_of(app)
    assert handshake(app) == 101 and handshake(app, host=f"localhost:{port}") == 101
    for origin in ("http://evil.example", f"http://evil.example:{port}", "https://127.0.0.1.evil.example", "null"):
        assert handshake(app, origin=origin) == 403, origin


def test_a_name_that_was_bound_anew_gets_none(app: str) -> None:
    """DNS rebinding: Host and Origin agree, and both are the attacker's."""
    for host in ("evil.example", f"evil.example:{port_of(app)}", "127.0.0.1.evil.example", "0.0.0.0"):
        assert handshake(app, host=host) == 403, host


def test_an_upload_needs_a_session(app: str) -> None:
    own = app.removeprefix("http://")
    for host, origin in ((own, "http://evil.example"), ("evil.example", "http://evil.example")):
        path = "/_stcore/upload_file/00000000-0000-0000-0000-000000000000/x"
        assert asked(app, path, method="PUT", Host=host, Origin=origin, Content_Length="0") in (400, 403)


def listening(url: str) -> set[str]:
    """The addresses of this machine that a server listens at."""
    return {
        c.laddr.ip
        for c in psutil.net_connections("inet")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port_of(url)
    }


def test_it_is_well_and_listens_to_this_machine_only(app: str) -> None:
    with urllib.request.urlopen(f"{app}/_stcore/health", timeout=20) as answer:
        assert answer.status == 200 and answer.read() == b"ok"
    assert listening(app) == {"127.0.0.1"}


def test_its_settings_go_with_it_to_any_folder(browser: Browser, tmp_path: Path) -> None:
    with serving(folder=tmp_path) as url:
        assert listening(url) == {"127.0.0.1"} and handshake(url, host="elsewhere.test") != 101
        page = opened(browser, f"{url}/effects?checkpoint=tiny-sft&task=animal/colour")
        expect(page.locator(".ivx-card").first).to_be_visible(timeout=PATIENCE)
        page.close()
    own, packaged = (ROOT / part / ".streamlit" / "config.toml" for part in (".", "ivx/ui/entry"))
    assert own.read_text() == packaged.read_text(), "streamlit run app.py, and ivx app, serve alike"


# What it reads and shows


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "private.csv"
    path.write_text("query,answer,contrast,instruction\nSWORDFISH,pink,no,name it\nother,brown,yes,\n")
    return path


@pytest.mark.parametrize("where", ["tasks", pytest.param("effects", marks=pytest.mark.slow)])
def test_an_address_reads_no_file(browser: Browser, app: str, secret: Path, where: str) -> None:
    for task in (
        str(secret),
        f"file://{secret}",
        f"../../../../../..{secret}",
        "/etc/passwd",
        "\\\\host\\share\\x.csv",
    ):
        page = opened(browser, f"{app}/{where}?task={urllib.parse.quote(task)}")
        expect(page.get_by_text("ivx has no task of that name")).to_be_visible(timeout=PATIENCE)
        shown = page.locator("body").inner_text()
        assert "SWORDFISH" not in shown and "root:" not in shown
        page.close()


@pytest.mark.parametrize("key", ["task", "checkpoint"])
def test_a_made_up_choice_reads_no_file(secret: Path, key: str) -> None:
    """A client may send any text as what was chosen, not only what the page offers."""
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).switch_page("ivx/ui/pages/tasks.py").run()
    picker = page.selectbox(key=key)
    page._run(WidgetStates(widgets=[WidgetState(id=picker.id, string_value=str(secret))]))
    assert page.selectbox(key=key).value in ("animal/colour", "tiny-sft", None) and not page.exception
    assert "SWORDFISH" not in str(page._tree)


def test_words_of_a_file_are_no_markdown(browser: Browser, app: str, tmp_path: Path) -> None:
    """A warning quotes a query; read as Markdown it would fetch the picture, and tell its host who looks."""
    picture = "brown ![x](http://evil.example/x.png) <img src=http://evil.example/y.png>"
    path = tmp_path / "own.csv"
    path.write_text(f'query,answer,contrast,instruction\n"{picture}",brown,no,name the colour\npig,pink,no,\n')
    page = opened(browser, f"{app}/tasks")
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_text("2 queries and 1 wordings")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("combobox", name="Task").click()
    page.get_by_text("own.csv", exact=True).last.click()
    expect(page.get_by_text("the tokenizer does not know a word of theirs", exact=False)).to_contain_text(
        "![x](http://evil.example/x.png)", timeout=PATIENCE
    )
    expect(page.locator(DONE)).to_be_visible(timeout=PATIENCE)
    assert outside(page) == []
    page.close()


# Signing in

PAGES = ("/", *(f"/{path.stem}" for path in sorted((ROOT / "ivx" / "ui" / "pages").glob("[a-z]*.py"))))
SOME = pytest.mark.parametrize("paths", [PAGES[::4], pytest.param(PAGES, marks=pytest.mark.slow)], ids=["some", "all"])
KEY = "of-this-test-alone"


def secrets(home: Path, content: str) -> dict[str, Any]:
    """A home folder whose owner keeps Streamlit's secrets in it, as the server's environment."""
    folder = home / ".streamlit"
    folder.mkdir()
    (folder / "secrets.toml").write_text(content)
    return {"HOME": str(home)}


def auth(url: str) -> str:
    """The section as a server's owner writes it."""
    told = {
        "redirect_uri": f"{url}/oauth2callback",
        "cookie_secret": KEY,
        "client_id": "ivx",
        "client_secret": "x",
        "server_metadata_url": "http://127.0.0.1:9/.well-known/openid-configuration",
    }
    return "[auth]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in told.items())


def nothing_but(page: Page, text: str) -> None:
    expect(page.get_by_text(text)).to_be_visible(timeout=PATIENCE)
    expect(page.locator(DONE)).to_be_visible(timeout=PATIENCE)
    for part in (".ivx-card", ".ivx-chips", "[data-testid=stVegaLiteChart]", "[data-testid=stSelectbox]"):
        assert page.locator(part).count() == 0, part


@SOME
def test_with_sign_in_no_page_draws_before_it(browser: Browser, tmp_path: Path, paths: tuple[str, ...]) -> None:
    with serving(**secrets(tmp_path, auth("http://app.test"))) as url:
        for path in paths:
            page = opened(browser, url + path)
            nothing_but(page, "This server asks who you are")
            expect(page.get_by_role("button", name="Sign in")).to_be_visible()
            page.close()


@pytest.mark.parametrize(("key", "enters"), [(KEY, True), ("another", False)])
def test_who_has_signed_in_enters_and_a_forged_cookie_does_not(
    browser: Browser, tmp_path: Path, key: str, enters: bool
) -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    told = {"origin": origin, "is_logged_in": True, "email": "a@b.example"}
    cookie = create_signed_value(key, "_streamlit_user", json.dumps(told)).decode()
    with serving(port=port, **secrets(tmp_path, auth(origin))) as url:
        context = browser.new_context()
        context.add_cookies([{"name": "_streamlit_user", "value": cookie, "url": url}])
        page = context.new_page()
        page.goto(f"{url}/tasks")
        if enters:
            expect(page.locator(".ivx-chips").first).to_be_visible(timeout=PATIENCE)
        else:
            nothing_but(page, "This server asks who you are")
        context.close()


@SOME
def test_secrets_that_cannot_be_read_lock_the_door(browser: Browser, tmp_path: Path, paths: tuple[str, ...]) -> None:
    with serving(**secrets(tmp_path, "[auth\nclient_id = ")) as url:
        for path in paths:
            page = opened(browser, url + path)
            nothing_but(page, "secrets.toml cannot be read")
            page.close()
