"""The repositories: each at its pinned commit, from the network or from a folder of mirrors."""

import shutil
import subprocess
from pathlib import Path

from . import pins
from .commands import Trouble, run

# An address for a repository; MIRROR may hold the same ones.
ORIGIN = "https://github.com/{}.git"


def mirrored(mirror: Path, repository: str) -> "Path | None":
    """The git directory of a repository in a folder of mirrors: OWNER/NAME.git there. OWNER/NAME and OWNER+NAME/repo
    will do, with a work tree or without."""
    flat = repository.replace("/", "+")
    for path in (mirror / f"{repository}.git", mirror / repository, mirror / flat / "repo", mirror / f"{flat}.git"):
        if (path / "HEAD").is_file() or (path / ".git").is_dir():
            return path
    return None


def sources(pin: pins.Pin, mirror: "Path | None") -> list:
    """Where to look for a commit, the likeliest first."""
    repositories = (pin.repository, *pin.elsewhere)
    if mirror is None:
        return [ORIGIN.format(repository) for repository in repositories]
    if not mirror.is_dir():
        raise Trouble(f"MIRROR={mirror} is no folder.")
    found = [path for path in (mirrored(mirror, repository) for repository in repositories) if path]
    if not found:
        raise Trouble(f"{mirror} has no mirror of {pin.repository}: {mirror / pin.repository}.git is looked for.")
    return found


def commit_of(folder: Path) -> "str | None":
    """The commit that a work tree is at; None where there is none."""
    if not (folder / ".git").is_dir():
        return None
    done = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def checkout(pin: pins.Pin, folder: Path, mirror: "Path | None") -> bool:
    """The pinned commit in `folder`; whether anything had to be done. What does not arrive whole is begun anew."""
    if commit_of(folder) == pin.commit:
        return False
    print(f"  {pin.repository} at {pin.commit[:10]} of {pin.day}", flush=True)
    part, reasons = folder.with_name(folder.name + ".part"), []
    for source in sources(pin, mirror):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        git = ["git", "-C", part, "-c", "advice.detachedHead=false", "-c", "core.longpaths=true"]
        try:
            run([*git, "init", "--quiet"], "git init")
            sparse = part / ".git/info/sparse-checkout"
            if pin.without:
                run([*git, "config", "core.sparseCheckout", "true"], "git config")
                sparse.parent.mkdir(exist_ok=True)
                sparse.write_text("/*\n" + "".join(f"!{name}\n" for name in pin.without))
            what = f"{pin.commit[:10]} of {source}"
            if isinstance(source, Path):
                # Not a fetch: a mirror may lack files that are too large for it, and nobody asks for them here.
                objects = source / ".git" if (source / ".git").is_dir() else source
                (part / ".git/objects/info/alternates").write_text(f"{(objects / 'objects').resolve()}\n")
            else:
                run([*git, "fetch", "--quiet", "--depth", "1", source, pin.commit], f"Fetching {what}")
            run([*git, "checkout", "--quiet", "--detach", pin.commit], f"Checking out {what}")
            # Of a file whose contents it has not, git says so and goes on.
            lacking = run([*git, "ls-files", "--deleted"], "git ls-files").splitlines()
            if lacking:
                raise Trouble(
                    f"{source} is not whole: {', '.join(lacking[:5])} of {pin.commit[:10]} are missing in it."
                )
        except Trouble as trouble:
            reasons.append(str(trouble))
            continue
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
        return True
    shutil.rmtree(part, ignore_errors=True)
    raise Trouble("\n".join(reasons))
