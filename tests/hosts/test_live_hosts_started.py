"""Hosts of the live suite are started once, twice on two cores, and stopped: with a launch.py of some lines."""

import http.client
import json
import sys

import pytest

from tests.live.hosts import pins, shared
from tests.live.hosts.__main__ import HOSTS, main
from tests.live.hosts.commands import Trouble
from tests.live.hosts.running import ask

LAUNCH = """
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(json.dumps({"option": 3, "read": json.load(open("config.json"))}).encode())
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler)
print("Startup time: 0.1s", flush=True)
server.serve_forever()
"""


@pytest.fixture
def startable(tmp_path, monkeypatch):
    """Forge Neo, whose launch.py is a program of some lines."""
    monkeypatch.setattr(shared.Host, "venv_python", property(lambda host: sys.executable))
    made = HOSTS["neo"](tmp_path)
    for name in ("bundled", pins.EXTENSIONS["neo"][0].name):
        (made.webui / "extensions" / name).mkdir(parents=True)
    (made.webui / "launch.py").write_text(LAUNCH)
    (made.webui / "modules").mkdir()
    (made.webui / "modules/launch_utils.py").write_text('VERSION_UID: Final[str] = "PY313"\n')
    yield made
    made.stop()


def test_it_is_started_once_and_stopped(startable, capsys, tmp_path):
    url = startable.start()
    config = json.loads(startable.config.read_text())
    assert config["option"] == 3, "the config holds all of the WebUI's options"
    assert config["VERSION_UID"] == "PY313", "without it Neo waits for Enter"
    assert config["live_previews_enable"] is False and config["disabled_extensions"] == ["bundled"]
    assert config["sd_model_checkpoint"] == "small-sd15.safetensors"
    assert (startable.webui / "extensions/sd-webui-w2sd").resolve() == shared.PROJECT
    assert HOSTS["neo"](tmp_path).start() == url, "it runs already"
    assert main(["options", "--suite", "--dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"--neo {url} --neo-log {startable.log}\n"
    assert main(["stop", "--dir", str(tmp_path)]) == 0
    with pytest.raises((OSError, http.client.HTTPException, Trouble)):
        ask(url)
    assert startable.running() is None and not startable.stop()


def test_a_copy_has_its_own_settings_and_the_first_ones_large_files(startable, capsys, tmp_path, monkeypatch):
    for step in ("environment", "models", "files"):
        startable.mark_done(step, "made")
    monkeypatch.setattr(shared.Host, "small_models", lambda host: None)
    for step in ("repositories", "environment", "files_for_the_suite"):
        monkeypatch.setattr(shared.Host, step, lambda host: None)
    model, picture = startable.models / "strong.safetensors", startable.webui / "output/1.png"
    for path, size in ((model, shared.LARGE + 1), (picture, 1)):
        path.parent.mkdir()
        path.write_bytes(bytes(size))
    second = HOSTS["neo"](tmp_path, number=2)
    assert main(["start", "neo", "--copies", "2", "--dir", str(tmp_path)]) == 0
    urls = [host.running()["url"] for host in (startable, second)]
    assert urls[0] != urls[1] and second.venv == startable.venv
    said = capsys.readouterr().out
    assert f"Forge Neo runs at {urls[0]}" in said and f"Forge Neo, its copy 2, runs at {urls[1]}" in said
    assert (second.models / model.name).samefile(model) and not (second.webui / "output").exists()
    assert not second.config.samefile(startable.config)
    assert main(["options", "neo", "--suite", "--dir", str(tmp_path)]) == 0
    logs = f"--neo-log {startable.log} --neo-log {second.log}"
    assert capsys.readouterr().out == f"--neo {urls[0]} --neo {urls[1]} {logs} -n 2 --dist loadscope\n"
    assert main(["options", "neo", "--dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"--neo {urls[0]}\n", "the bench takes one"
    assert main(["stop", "neo", "--dir", str(tmp_path)]) == 0
    assert startable.running() is second.running() is None
    # What was set up anew is copied anew.
    second.set_up()
    (startable.webui / "new.py").touch()
    second.set_up()
    assert not (second.webui / "new.py").exists()
    startable.mark_done("models", "others")
    second.set_up()
    assert (second.webui / "new.py").exists()


def test_its_options_stay_when_it_is_started_again(startable, monkeypatch):
    startable.start()
    startable.stop()
    config = json.loads(startable.config.read_text())
    startable.config.write_text(json.dumps({**config, "option": 4}))
    monkeypatch.setenv("BUNDLED", "1")
    url = startable.start()
    assert ask(url)["read"]["option"] == 4
    assert ask(url)["read"]["disabled_extensions"] == []


def test_why_it_ended_is_said(startable):
    (startable.webui / "launch.py").write_text("raise SystemExit('no module named gradio')")
    with pytest.raises(Trouble, match=r"(?s)Forge Neo ended while it started.*no module named gradio"):
        startable.start()
    assert startable.running() is None
