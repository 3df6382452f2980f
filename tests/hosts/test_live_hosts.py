"""What sets up hosts for the live suite, as far as that can be seen without a network and without a host."""

import ast
import datetime
import importlib
import json
import os
import re
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tests.live import conftest, families, hosts, pages, quick
from tests.live.hosts import checkouts, pins, shared
from tests.live.hosts.__main__ import HOSTS, main
from tests.live.hosts.commands import Trouble
from tests.live.hosts.forge import replaced, sized
from tests.live.hosts.small import sizes, writing

FOLDER = Path(hosts.__file__).parent
SMALL = FOLDER / "small"
ALL_PINS = [
    *pins.HOSTS.values(),
    pins.COMFY,
    *pins.COMFY_PACKS,
    *(pin for beside in pins.BESIDE.values() for pin in beside.values()),
    *(pin for some in pins.EXTENSIONS.values() for pin in some),
]

# ---------------------------------------------------------------- the lists


@pytest.mark.parametrize("pin", ALL_PINS, ids=lambda pin: pin.repository)
def test_a_pin_is_a_commit_of_a_day(pin):
    assert re.fullmatch(r"[0-9a-f]{40}", pin.commit)
    assert datetime.date.fromisoformat(pin.day) <= datetime.date.fromisoformat(pins.SINCE)
    assert all(re.fullmatch(r"[\w-]+/[\w.-]+", name) for name in (pin.repository, *pin.elsewhere))


def test_every_list_is_of_every_host():
    for of_each in (pins.HOSTS, pins.BESIDE, pins.EXTENSIONS, sizes.FILES):
        assert list(of_each) == list(conftest.HOSTS)
    assert {host(Path()).option for host in HOSTS.values()} == {*conftest.HOSTS, "comfy"}


def test_what_is_fetched_is_what_the_guide_says_was_tried():
    text = (shared.PROJECT / "docs/guide/extensions.md").read_text(encoding="utf-8")
    named = re.findall(r"github\.com/([\w.-]+/[\w.-]+)", text.replace("\n", ""))
    assert {pin.repository for pin in pins.EXTENSIONS["a1111"]} <= set(named)


@pytest.mark.parametrize("name", conftest.HOSTS)
def test_every_package_has_one_version(name):
    lines = (FOLDER / f"versions/{name}.txt").read_text().split("\n")
    assert lines.pop() == ""
    assert all(re.fullmatch(r"[\w.-]+==[\w.!+-]+", line) for line in lines)
    versions = dict(line.lower().split("==") for line in lines)
    assert len(versions) == len(lines) and {"setuptools", "gradio", "transformers"} <= set(versions)
    assert {f"{part}=={versions[part]}" for part in ("torch", "torchvision")} == set(HOSTS[name].torch)


@pytest.mark.parametrize("name", conftest.HOSTS)
def test_the_suite_finds_every_family_by_its_files(name):
    known = {family.name: family for family in families.FAMILIES}
    for family, files in sizes.FILES[name].items():
        assert [families.family_of(file) for file in files] == [known[family]] * len(files)
        strong = next(iter(files))
        assert f"{strong}-weak" in files and len(set(files.values())) == len(files), "two networks, not one twice"
    if name == "neo":
        files = [file for one in sizes.FILES[name].values() for file in one]
        assert set(sizes.TOLD_BY_NAME.values()) <= set(files)
        files += sizes.TOLD_BY_NAME
        assert {families.family_of(file).name for file in files} == set(known)
        webui = types.SimpleNamespace(modules=list(sizes.MODULES))
        for file in files:
            assert len(set(families.modules_of(webui, file))) == len(families.family_of(file).modules)


@pytest.mark.parametrize(
    "path", [*SMALL.glob("[!sw_]*.py"), *(FOLDER / f"{name}.py" for name in ("comfy", "forge", "neo"))]
)
def test_every_size_that_is_asked_for_stands_in_the_table(path):
    asked = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sizes"
    }
    assert asked and not {name for name in asked if not hasattr(sizes, name)}


def test_every_file_of_the_suite_has_a_most_telling_test():
    there = {path.stem: path for path in (FOLDER.parent).glob("test_*.py")}
    assert set(quick.MOST_TELLING) == set(there)
    for file, wanted in quick.MOST_TELLING.items():
        if wanted is None:
            continue
        name = wanted[0] if isinstance(wanted, tuple) else wanted
        assert f"\ndef {name}(" in there[file].read_text(encoding="utf-8"), file


def test_quick_keeps_one_test_of_a_file_for_each_host():
    def item(file, name, **params):
        node = f"tests/live/{file}.py::{name}"
        spec = types.SimpleNamespace(params=params)
        return types.SimpleNamespace(path=Path(f"tests/live/{file}.py"), nodeid=node, name=name, callspec=spec)

    both = [("a1111", "http://a"), ("forge", "http://b")]
    architecture, part = quick.MOST_TELLING["test_architecture"]
    items = [item("test_faults", "test_skip_in_a_reflection", webui=both[0])]
    items += [item("test_architecture", f"{architecture}[{x}]", webui=host) for host in both for x in ("other", part)]
    items += [item("test_engine", f"{quick.MOST_TELLING['test_engine']}[{x}]", webui=both[0]) for x in "ab"]
    assert quick.most_telling(items) == [items[2], items[4], items[5]]


@pytest.mark.parametrize("file", pages.OF_A_GRADIO)
def test_of_what_a_page_does_each_test_is_asked_once_of_a_gradio(file):
    module = importlib.import_module(f"tests.live.{file}")
    names = [name for name in vars(module) if name.startswith("test_")]

    def asked(webui: str, gradio: int, *options) -> list:
        config = types.SimpleNamespace(getoption=lambda option: option in options)
        about = {"config": config, "path": Path(f"{file}.py"), "module": module}
        host = types.SimpleNamespace(name=webui, gradio=gradio)
        items = [types.SimpleNamespace(originalname=name, **about) for name in names]
        return [item.originalname for item in items if not pages.asked_elsewhere(item, host)]

    forge, neo = asked("forge", 4), asked("neo", 4)
    assert sorted(forge + neo) == sorted(names) and abs(len(forge) - len(neo)) <= 1
    for whole in (
        asked("a1111", 3),
        asked("neo", 6),
        asked("neo", 4, "--quick"),
        asked("forge", 4, "--all-combinations"),
    ):
        assert whole == names


def test_what_is_skipped_is_counted_by_its_reason():
    reports = [
        types.SimpleNamespace(longrepr=("file", 1, f"Skipped: {why}")) for why in ("no LoRA", "absent", "no LoRA")
    ]
    assert conftest.reasons(reports) == ["   2  no LoRA", "   1  absent"]


# ---------------------------------------------------------------- weights

WRITE = """
import sys, torch
from pathlib import Path
sys.path.insert(0, {small!r})
import writing
tensors = {{"b": writing.noise(3, 2), "a": writing.noise(5).half(), "n": torch.tensor(7), "s": torch.tensor(4.6)}}
writing.save(tensors, Path(sys.argv[1]), **{{f"key{{i}}": "x" for i in range(20)}})
"""


def test_a_file_is_the_same_whenever_it_is_written(tmp_path):
    """safetensors' own writer has the metadata in another order each time."""
    files = [tmp_path / f"{seed}.safetensors" for seed in range(3)]
    for seed, file in enumerate(files):
        environ = {**os.environ, "PYTHONHASHSEED": str(seed)}
        subprocess.run([sys.executable, "-c", WRITE.format(small=str(SMALL)), file], env=environ, check=True)
    assert len({file.read_bytes() for file in files}) == 1
    with safe_open(files[0], "pt") as read:
        assert read.metadata() == {"format": "pt", **{f"key{i}": "x" for i in range(20)}}
        assert {name: read.get_tensor(name).shape for name in read.keys()} == {"a": (5,), "b": (3, 2), "n": (), "s": ()}
        assert torch.equal(read.get_tensor("b"), writing.noise(3, 2)) and read.get_tensor("n").item() == 7


def test_weights_that_are_none_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="b is not finite"):
        writing.save({"b": torch.tensor([1.0, float("nan")])}, tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_weights_do_not_depend_on_what_a_module_starts_from():
    def made():
        return writing.fill(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3)), 5).state_dict()

    torch.manual_seed(1)
    one = made()
    torch.manual_seed(2)
    assert all(torch.equal(value, one[name]) for name, value in made().items())
    assert torch.equal(one["1.weight"], torch.ones(3)) and one["0.weight"].std() > 0


# ---------------------------------------------------------------- repositories


def git(folder: Path, *command) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@localhost"]
    return subprocess.run(
        ["git", *who, *command], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def pin(tmp_path):
    """Of a repository owner/host in tmp_path/work, its last commit but one."""
    work = tmp_path / "work"
    (work / "assets").mkdir(parents=True)
    git(work, "init", "--quiet")
    for number in range(2):
        (work / "launch.py").write_text(f"print({number})\n")
        (work / "assets/large.png").write_text("large")
        git(work, "add", ".")
        git(work, "commit", "--quiet", "-m", f"{number}")
    return pins.Pin("owner/host", git(work, "rev-parse", "HEAD~1"), "2026-01-01", without=("assets/",))


def mirror_as(tmp_path, layout: str) -> Path:
    path = tmp_path / "mirror" / layout
    path.parent.mkdir(parents=True)
    bare = ["--bare"] if layout.endswith((".git", "repo")) else []
    git(tmp_path, "clone", "--quiet", *bare, str(tmp_path / "work"), str(path))
    return tmp_path / "mirror"


@pytest.mark.parametrize("layout", ["owner/host.git", "owner/host", "owner+host/repo"])
def test_the_pinned_commit_of_a_mirror(tmp_path, pin, layout):
    folder, mirror = tmp_path / "made/webui", mirror_as(tmp_path, layout)
    assert checkouts.checkout(pin, folder, mirror)
    assert (folder / "launch.py").read_text() == "print(0)\n" and checkouts.commit_of(folder) == pin.commit
    assert not (folder / "assets").exists()
    (folder / "config.json").write_text("{}")
    assert not checkouts.checkout(pin, folder, None), "it is there: nobody is asked"
    assert (folder / "config.json").exists()


def test_another_pin_is_fetched_anew_and_another_repository_asked(tmp_path, pin):
    folder, mirror = tmp_path / "made", mirror_as(tmp_path, "fork/host.git")
    pin = replace(pin, elsewhere=("fork/host",))
    (tmp_path / "made.part").mkdir()  # where a run was ended
    assert checkouts.checkout(pin, folder, mirror)
    newest = replace(pin, commit=git(tmp_path / "work", "rev-parse", "HEAD"), without=())
    assert checkouts.checkout(newest, folder, mirror)
    assert (folder / "launch.py").read_text() == "print(1)\n" and (folder / "assets/large.png").exists()


def test_a_mirror_that_lacks_it_says_so_in_a_sentence(tmp_path, pin):
    with pytest.raises(Trouble, match="nowhere is no folder"):
        checkouts.checkout(pin, tmp_path / "made", tmp_path / "nowhere")
    mirror = mirror_as(tmp_path, "owner/host.git")
    with pytest.raises(Trouble, match=r"has no mirror of owner/other: .*owner.other\.git is looked for"):
        checkouts.checkout(replace(pin, repository="owner/other"), tmp_path / "made", mirror)
    with pytest.raises(Trouble, match=r"Checking out 0000000000 of .*host\.git failed: "):
        checkouts.checkout(replace(pin, commit=40 * "0"), tmp_path / "made", mirror)
    assert not (tmp_path / "made").exists() and not (tmp_path / "made.part").exists()


def test_the_newest_commit_is_asked_for_and_its_own_requirements_taken(tmp_path, pin, monkeypatch):
    git(tmp_path / "work", "checkout", "--quiet", "-b", "neo")
    mirror = mirror_as(tmp_path, "owner/host.git")
    monkeypatch.setattr(pins, "NEWEST_NEO", ("owner/host", "neo"))
    newest = HOSTS["neo-newest"](tmp_path, mirror=mirror)
    assert newest.pin().commit == git(tmp_path / "work", "rev-parse", "HEAD")
    checkouts.checkout(newest.pin(), newest.webui, mirror)
    (newest.webui / "requirements.txt").write_text("gradio==4.40.0\nsetuptools==69.5.1\ntorch\ntorchsde==0.2.6\n")
    option, path = newest.requirements()
    assert option == "-r"
    assert path.read_text().split() == ["gradio==4.40.0", "torchsde==0.2.6", *newest.torch, "setuptools==80.9.0"]
    monkeypatch.setattr(pins, "NEWEST_NEO", ("owner/host", "gone"))
    with pytest.raises(Trouble, match="for gone failed"):
        newest.pin()


def test_a_broken_mirror_says_so_and_a_whole_one_is_taken_next(tmp_path, pin):
    mirror = mirror_as(tmp_path, "owner/host.git")
    blob = git(tmp_path / "work", "rev-parse", f"{pin.commit}:launch.py")
    found = list((mirror / "owner/host.git/objects").glob(f"{blob[:2]}/{blob[2:]}"))
    assert found, "the blob lies loose"
    kept = found[0].read_bytes()
    found[0].unlink()
    with pytest.raises(Trouble, match=r"host\.git is not whole: launch\.py of"):
        checkouts.checkout(pin, tmp_path / "made", mirror)
    assert not (tmp_path / "made").exists()
    found[0].write_bytes(kept)
    assert checkouts.checkout(pin, tmp_path / "made", mirror)


def test_the_command_line_says_it_and_ends_with_1(tmp_path, capsys):
    assert main(["start", "forge", "--dir", str(tmp_path), "--mirror", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err == f"forge: MIRROR={tmp_path / 'nowhere'} is no folder.\n"
    assert main(["options", "--dir", str(tmp_path)]) == 0 and capsys.readouterr().out.strip() == ""
    with pytest.raises(SystemExit):
        main(["start", "invoke"])
    assert "no such host: invoke; there are a1111, forge, neo, neo-newest, comfy" in capsys.readouterr().err


# ---------------------------------------------------------------- environment, edits


@pytest.fixture
def host(tmp_path):
    made = HOSTS["forge"](tmp_path)
    made.webui.mkdir(parents=True)
    return made


def test_a_python_that_the_host_cannot_use_is_said(host, monkeypatch):
    monkeypatch.setattr(host, "pythons", ((2, 6), (2, 8)))
    with pytest.raises(Trouble, match=r"Forge of this commit wants a Python from 2\.6, older than 2\.8; .* is 3\."):
        host.environment()
    host.python = "no-such-python"
    with pytest.raises(Trouble, match="there is no program no-such-python on this machine"):
        host.environment()


def test_a_package_that_is_missing_is_said(host, monkeypatch):
    said = "ERROR: No matching distribution found for torch==2.14.1"

    def run(command, what, **kwargs):
        if "pip" in command:
            command = [sys.executable, "-c", f"import sys; sys.exit({said!r})"]
        return shared_run(command, what, **kwargs)

    shared_run = shared.run
    monkeypatch.setattr(shared, "run", run)
    monkeypatch.setattr(shared.Host, "venv_python", property(lambda host: sys.executable))
    with pytest.raises(Trouble, match=f"Forge: installing torch==.*failed: {said}"):
        host.environment()
    assert not (host.folder / "done").exists(), "the next run tries again"


def test_an_edit_begins_with_what_the_host_was(host):
    path = host.webui / "config.json"
    path.write_text('{"layers": 12, "kept": true}')
    for layers in (4, 5):
        host.edit(path, sized({"layers": layers}))
        assert json.loads(path.read_text()) == {"layers": layers, "kept": True}
    with pytest.raises(Trouble, match=r"Forge has moved on: config\.json: it does not say heads"):
        host.edit(path, sized({"heads": 2}))
    with pytest.raises(Trouble, match=r"Forge has no absent\.py"):
        host.edit(host.webui / "absent.py", replaced(("a", "b")))


def test_a_line_that_is_not_there_once_is_said(host):
    path = host.webui / "detection.py"
    path.write_text("depth = 19\nheads = 24\nheads = 24\n")
    host.edit(path, replaced(("depth = 19", "depth = 2")))
    assert path.read_text() == "depth = 2\nheads = 24\nheads = 24\n"
    with pytest.raises(Trouble, match=r"detection\.py: 'heads = 24' occurs 2 times"):
        host.edit(path, replaced(("heads = 24", "heads = 2")))
