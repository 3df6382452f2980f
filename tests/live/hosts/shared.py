"""What the hosts have in common: their repositories, an environment, small models, and a process with a port.

A host stands in a folder of its own:

    webui/      its repository, at the pinned commit, with what it expects beside it
    venv/       its environment
    done/       one file for each step that need not be made again: its name, and in it what it was made from
    log         what it printed since its last start
    running     its address and process, while it runs

Copies of it, which the suite shares its tests out among, stand beside it: a1111-2, and so on.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import pins
from .checkouts import checkout
from .commands import Trouble, run
from .running import alive, ask, free_port

PROJECT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
EXTENSION = "sd-webui-w2sd"
WAIT = 600  # seconds for a start: the first one compiles everything
LARGE = 1_000_000  # bytes: a file that a copy has no other of
WRITTEN = ("outputs", "output", "log", "tmp", "cache", "config_states")  # by a WebUI that runs


def linked(source: str, target: str) -> None:
    """As a function of copytree."""
    try:
        if os.path.getsize(source) > LARGE:
            os.link(source, target)
            return
    except OSError:  # another disk, or one that has no links
        pass
    shutil.copy2(source, target)


class Host:
    """A subclass says what is its own; `folder` is where it stands; `number` which of its copies it is, from 1."""

    name: str
    title: str
    option = ""  # what the suite calls it; its name, unless it says otherwise
    pythons = ((3, 10), (3, 12))  # from, to: less than
    repository_folder = "webui"  # what is cloned
    webui_folder = "webui"  # and where in it the WebUI stands
    torch = ("torch==2.14.1", "torchvision==0.29.1")
    flags: tuple = ()
    first_checkpoint: str
    model_script: str
    model_arguments: tuple = ()
    model_parts: tuple = ()  # what the script has from beside it, beyond sizes.py and writing.py
    edits: tuple = ()  # (file, what to make of its text)
    extensions_folder = "extensions"
    probe = "tests/live/probe"  # company of the suite's own
    hidden_tabs = ()  # of its page, which a browser draws the faster
    up = "Startup time"  # what it prints when it can be asked
    copies = min(2, os.cpu_count() or 1)  # one uses one core

    def __init__(self, root: Path, mirror: "Path | None" = None, python: str = sys.executable, number: int = 1):
        self.mirror, self.python, self.number = mirror, python, number
        self.first = self if number == 1 else type(self)(root, mirror, python)
        self.folder = root.resolve() / (self.name if number == 1 else f"{self.name}-{number}")
        self.option = self.option or self.name
        self.webui = self.folder / self.webui_folder
        self.models = self.webui / "models"
        self.venv = self.first.folder / "venv"

    @property
    def said(self) -> str:
        return self.title + (f", its copy {self.number}," if self.number > 1 else "")

    # ------------------------------------------------------------ set up

    def set_up(self) -> None:
        """Everything but the start; what is there already is left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.first is not self:
            return self.copied()
        for what, step in (
            ("repositories", self.repositories),
            ("environment", self.environment),
            ("models", self.small_models),
            ("files for the suite", self.files_for_the_suite),
        ):
            begun = time.monotonic()
            step()
            print(f"{self.name}: {what}: {time.monotonic() - begun:.0f} s", flush=True)

    def copied(self) -> None:
        """The first one's files, once more, but for what it has written."""
        steps = [self.first.folder / "done" / step for step in ("environment", "models", "files")]
        wanted = "".join(f"{step.stat().st_mtime_ns}\n" for step in steps) + (HERE / "pins.py").read_text()
        if self.is_done("copy", wanted):
            return
        shutil.rmtree(self.folder)
        shutil.copytree(
            self.first.folder / self.repository_folder,
            self.folder / self.repository_folder,
            symlinks=True,
            ignore=lambda folder, names: WRITTEN if Path(folder) == self.first.webui else (),
            copy_function=linked,
        )
        self.mark_done("copy", wanted)
        if self.config.is_file():
            self.mark_done("config", pins.SINCE)

    def repositories(self) -> None:
        if checkout(self.pin(), self.folder / self.repository_folder, self.mirror):
            shutil.rmtree(self.folder / "done", ignore_errors=True)
        for name, pin in pins.BESIDE[self.option].items():
            checkout(pin, self.webui / "repositories" / name, self.mirror)
        for pin in pins.EXTENSIONS[self.option]:
            checkout(pin, self.webui / "extensions" / pin.name, self.mirror)

    def pin(self) -> pins.Pin:
        return pins.HOSTS[self.name]

    def requirements(self) -> list:
        """Options of pip. Every package, so nothing is resolved: as a host writes them some contradict each other."""
        return ["--no-deps", "-r", HERE / f"versions/{self.name}.txt"]

    def environment(self) -> None:
        *options, versions = self.requirements()
        wanted = "\n".join((*self.torch, versions.read_text()))
        if self.is_done("environment", wanted):
            return
        found = run([self.python, "-c", "import sys; print(*sys.version_info[:2])"], f"{self.python}")
        version = tuple(map(int, found.split()))
        oldest, too_new = self.pythons
        if not oldest <= version < too_new:
            raise Trouble(
                f"{self.title} of this commit wants a Python from {oldest[0]}.{oldest[1]}, older than"
                f" {too_new[0]}.{too_new[1]}; {self.python} is {version[0]}.{version[1]}. Name one: PYTHON=python3.11"
            )
        shutil.rmtree(self.venv, ignore_errors=True)
        run([self.python, "-m", "venv", self.venv], "Making an environment")
        # What is missing is said, not looked for in the user's own packages; nothing is compiled that is not imported.
        pip = [self.venv_python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile"]
        run([*pip, *self.torch], f"{self.title}: installing {', '.join(self.torch)}", env=self.environ())
        run(
            [*pip, *options, versions],
            f"{self.title}: installing the packages of {versions.name}",
            env=self.environ(),
        )
        self.mark_done("environment", wanted)

    def small_models(self) -> None:
        for path, edit in self.edits:
            self.edit(self.webui / path, edit)
        small = HERE / "small"
        script = small / self.model_script
        parts = ("sizes.py", "writing.py", *self.model_parts, self.model_script)
        wanted = "".join((small / name).read_text() for name in parts)
        if self.is_done("models", wanted):
            return
        said = run(
            [self.venv_python, script, *self.model_arguments, self.webui],
            f"{self.title}: making the small models",
            env={**self.environ(), "OMP_NUM_THREADS": "2"},
            cwd=self.webui,
        )
        (self.folder / "models.log").write_text(said)
        self.mark_done("models", wanted)

    def edit(self, path: Path, edit) -> None:
        """What the host was is kept beside it: an edit always begins there."""
        kept = path.with_name(path.name + ".before-small")
        if not path.is_file():
            raise Trouble(f"{self.title} has no {path.relative_to(self.webui)}: it is not the version of pins.py.")
        if not kept.exists():
            shutil.copy2(path, kept)
        try:
            text = edit(kept.read_text(encoding="utf-8"))
        except ValueError as error:
            raise Trouble(f"{self.title} has moved on: {path.relative_to(self.webui)}: {error}") from None
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8", newline="\n")

    def files_for_the_suite(self) -> None:
        """What tests/live asks for beside checkpoints: LoRAs, ControlNet's models, rewards, a style."""
        done = [f"{name}.py" for name in ("make_loras", "make_controls", "make_motion", "make_detector")]
        made_for = (self.folder / "done/models").read_text(encoding="utf-8")  # they have the widths of its layers
        wanted = "".join([made_for, *((HERE.parent / name).read_text() for name in done)])
        if self.is_done("files", wanted):
            return
        self.make_loras(self.first_checkpoint, "w2sd_")
        self.make(
            "tests.live.make_controls", self.checkpoint(self.first_checkpoint), self.controls, *self.control_options
        )
        rewards = self.models / "rewards"
        if not (rewards / "w2sd-clip").exists():
            self.make("tests.small_clip", rewards / "w2sd-clip")
        (self.webui / "styles.csv").write_text(
            'name,prompt,negative_prompt\nw2sd_ink,"an ink drawing of {prompt}, on paper",blurry\n'
        )
        self.more_files()
        self.mark_done("files", wanted)

    control_options: tuple = ()

    @property
    def controls(self) -> Path:
        return self.models / "ControlNet"

    def more_files(self) -> None:
        """What this host alone can use."""

    def checkpoint(self, name: str) -> Path:
        return self.models / "Stable-diffusion" / f"{name}.safetensors"

    def make_loras(self, checkpoint: str, prefix: str) -> None:
        self.make("tests.live.make_loras", self.checkpoint(checkpoint), self.models / "Lora", prefix)

    def make(self, module: str, *arguments) -> None:
        """One of the project's own makers, in this environment."""
        run([sys.executable, "-m", module, *arguments], f"{self.title}: {module}", cwd=PROJECT)

    def is_done(self, step: str, made_from: str) -> bool:
        path = self.folder / "done" / step
        return path.is_file() and path.read_text(encoding="utf-8") == made_from

    def mark_done(self, step: str, made_from: str) -> None:
        path = self.folder / "done" / step
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made_from, encoding="utf-8")

    @property
    def venv_python(self) -> Path:
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def environ(self) -> dict:
        """No network, one thread as the suite has, and nothing compiled beside the linked checkout."""
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
        more = {
            "PYTHONPYCACHEPREFIX": str(self.first.folder / "pycache"),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "GRADIO_ANALYTICS_ENABLED": "False",
            "OMP_NUM_THREADS": "1",
            "YOLO_CONFIG_DIR": str(self.folder),
        }
        return {**kept, **more, "PATH": os.pathsep.join((str(self.folder / "bin"), kept.get("PATH", "")))}

    # ------------------------------------------------------------ start and stop

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def config(self) -> Path:
        return self.webui / "config.json"

    def running(self) -> "dict | None":
        """Its `url` and `pid`, while it lives."""
        path = self.folder / "running"
        if not path.is_file():
            return None
        found = json.loads(path.read_text())
        return found if alive(found["pid"]) else None

    def start(self) -> str:
        """Its address, once it can be asked."""
        found = self.running()
        if found:
            return found["url"]
        self.link()
        if not self.is_done("config", pins.SINCE) or not self.config.is_file():
            # An overridden option that the config does not hold is never put back: it has to hold all of them.
            self.write_config({})
            url = self.launch()
            try:
                options = ask(f"{url}/sdapi/v1/options")
            finally:
                self.stop()
            self.write_config(options)
            self.mark_done("config", pins.SINCE)
        else:
            self.write_config(json.loads(self.config.read_text(encoding="utf-8")))
        return self.launch()

    def write_config(self, options: dict) -> None:
        # The API gives 85.0 for a quality of 85, and Pillow takes no such.
        whole = {k: int(v) for k, v in options.items() if isinstance(v, float) and v.is_integer()}
        self.config.write_text(json.dumps({**options, **whole, **self.options()}, indent=4), encoding="utf-8")

    def options(self) -> dict:
        """Of the WebUI's own: previews cost time, and some kinds want a download. Of ControlNet's units as many as the
        suite asks for: a page draws them all, opened or not."""
        return {
            "live_previews_enable": False,
            "sd_model_checkpoint": f"{self.first_checkpoint}.safetensors",
            "hidden_tabs": list(self.hidden_tabs),
            "control_net_unit_count": 2,
        }

    def link(self) -> None:
        for name, folder in ((EXTENSION, PROJECT), ("w2sd-probe", PROJECT / self.probe)):
            link = self.webui / self.extensions_folder / name
            if link.resolve() != folder:
                link.unlink(missing_ok=True)
                link.symlink_to(folder, target_is_directory=True)
        ui = self.webui / "ui-config.json"
        if not ui.exists():
            ui.write_text("{}")  # NegPiP reads it before the WebUI has written it

    def command(self) -> tuple:
        return "launch.py", "--api", "--server-name", "127.0.0.1"

    def launch(self) -> str:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [self.venv_python, *self.command(), *self.flags, "--port", port]
        with open(self.log, "w") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=self.webui,
                env=self.environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = self.folder / "running"
        running.write_text(json.dumps({"url": url, "pid": process.pid}))
        begun = time.monotonic()
        while time.monotonic() - begun < WAIT:
            if self.up in self.log.read_text(errors="replace"):
                return url
            if process.poll() is not None:
                running.unlink(missing_ok=True)  # `make host-stop` meanwhile
                last = "\n  ".join(self.log.read_text(errors="replace").splitlines()[-12:])
                raise Trouble(f"{self.title} ended while it started. The last lines of {self.log}:\n  {last}")
            time.sleep(0.5)
        self.stop()
        raise Trouble(f"{self.title} was not up after {WAIT} s; {self.log} says how far it came.")

    def stop(self) -> bool:
        """Whether there was something to stop."""
        found = self.running()
        (self.folder / "running").unlink(missing_ok=True)
        if found is None:
            return False
        for sign, patience in ((signal.SIGTERM, 20), (getattr(signal, "SIGKILL", signal.SIGTERM), 20)):
            os.kill(found["pid"], sign)
            begun = time.monotonic()
            while time.monotonic() - begun < patience:
                if not alive(found["pid"]):
                    return True
                time.sleep(0.1)
        raise Trouble(f"{self.title}, process {found['pid']}, does not end.")
