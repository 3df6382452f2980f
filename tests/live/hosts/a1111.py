"""AUTOMATIC1111's WebUI 1.10.1."""

import shutil

from .commands import run
from .shared import PROJECT, Host


class A1111(Host):
    name, title = "a1111", "AUTOMATIC1111's WebUI"
    flags = (
        "--skip-install",
        "--skip-prepare-environment",
        "--skip-python-version-check",
        "--skip-torch-cuda-test",
        "--skip-version-check",
        "--use-cpu",
        "all",
        "--no-half",
        "--precision",
        "full",
        "--no-half-vae",
        "--no-download-sd-model",
    )
    first_checkpoint = "tiny-sd15"
    model_script = "ldm.py"
    hidden_tabs = ("Extras", "PNG Info", "Checkpoint Merger", "Train", "Extensions")

    def options(self) -> dict:
        """Of ADetailer, too, no more than the suite asks for."""
        return {**super().options(), "ad_max_models": 1}

    def more_files(self) -> None:
        # What test_company calls ControlNet with a model; any will do.
        shutil.copyfile(self.controls / "w2sd_t2iadapter.safetensors", self.controls / "tiny_adapter.safetensors")
        self.make("tests.live.make_motion", self.webui / "extensions/sd-webui-animatediff", self.models / "Lora")
        folders = {"--loras": self.models / "Lora", "--rewards": self.models / "rewards"}
        options = [part for pair in folders.items() for part in pair]
        self.make("lib_w2sd.lab.emoji", "checkpoint", self.models / "Stable-diffusion", *options)
        detectors = self.models / "adetailer"
        detectors.mkdir(exist_ok=True)
        run(
            [self.venv_python, PROJECT / "tests/live/make_detector.py", detectors / "always_face.pt"],
            "Making ADetailer's detector",
            env=self.environ(),
        )
