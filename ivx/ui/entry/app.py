"""What `ivx app` serves: the app's script, behind a first page that is dressed already."""

from __future__ import annotations

from pathlib import Path

from starlette.middleware import Middleware
from streamlit.starlette import App

from ivx.ui import tidy
from ivx.ui.dressed import Dressed

app = App(Path(__file__).with_name("page.py"), middleware=[Middleware(Dressed)], lifespan=tidy.lifespan)
