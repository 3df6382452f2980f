"""Programs that are run, and what is said where one fails."""

import subprocess


class Trouble(Exception):
    """What went wrong, in a sentence for whoever called."""


def run(command: list, what: str, **kwargs) -> str:
    """Its output; Trouble with its last lines."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **kwargs)
    except FileNotFoundError:
        raise Trouble(f"{what}: there is no program {command[0]} on this machine.") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-6:]
        raise Trouble(f"{what} failed: " + "\n  ".join(said or [f"it ended with {done.returncode}"]))
    return done.stdout
