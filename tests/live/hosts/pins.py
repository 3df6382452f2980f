"""The commits that the suite is run against: hosts, what they expect beside them, and the extensions of test_company.

The only place to change when a host has moved on; SINCE is the day on which all of these ran together.
"""

from dataclasses import dataclass

SINCE = "2026-11-30"


@dataclass(frozen=True)
class Pin:
    """
    repository  owner/name
    commit      40 digits
    day         the commit's
    elsewhere   other repositories that have the commit, asked if the first has it not
    without     files that nobody needs, and large (patterns of a sparse checkout)
    """

    repository: str
    commit: str
    day: str
    elsewhere: tuple = ()
    without: tuple = ()

    @property
    def name(self) -> str:
        """Without its owner: the folder that it comes into among others."""
        return self.repository.rpartition("/")[2]


ASSETS = Pin("AUTOMATIC1111/stable-diffusion-webui-assets", "6f7db241d2f8ba7457bac5ca9753331f0c266917", "2024-01-07")
BLIP = Pin(
    "salesforce/BLIP",
    "48211a1594f1321b00f14c9f7a5b4813144b2fb9",
    "2022-06-07",
    without=("BLIP.gif", "demo.ipynb"),
)

HOSTS = {
    # Release 1.10.1
    "a1111": Pin(
        "AUTOMATIC1111/stable-diffusion-webui",
        "82a973c04367123ae98bd9abdf80d9eda9b910e2",
        "2024-07-27",
        elsewhere=("w-e-w/stable-diffusion-webui",),
    ),
    "forge": Pin("lllyasviel/stable-diffusion-webui-forge", "dfdcbab685e57677014f05a3309b48cc87383167", "2025-06-26"),
    # A copy of Haoming02/sd-webui-forge-classic, branch neo, with extensions beside it
    "neo": Pin(
        "exo101/sd-webui-forge-neo-v3",
        "5692d2d1e6c293faf5486f7cb18c27c9a3faa758",
        "2026-08-17",
        without=(
            "*.exe",
            *(
                f"webui/extensions/{name}"
                for name in (
                    "sd-civitai-browser-neo/aria2/",
                    "sd-dynamic-prompts_neo/images/",
                    "sd-webui-model-keyword/lora-keyword.txt",
                    "sd-webui-multimodal-media/ACE-Step-1.5/acestep/genres_vocab.txt",
                    "sd-webui-tagcomplete-neo/tags/danbooru_*.csv",
                    "sd-webui-tagcomplete-neo/tags/noob_characters-chants.json",
                    "sd-webui-trellis2/TRELLIS.2/assets/",
                    "sd-webui-trellis2/nvdiffrec/data/",
                )
            ),
        ),
    ),
}
# What neo-newest.yml takes instead: (repository, branch).
NEWEST_NEO = ("Haoming02/sd-webui-forge-classic", "neo")

# Release 0.3.64; the file is a tokenizer of HiDream's.
COMFY = Pin(
    "comfyanonymous/ComfyUI",
    "a125cd84b054a57729b5eecab930ca9408719832",
    "2025-10-12",
    elsewhere=("Comfy-Org/ComfyUI",),
    without=("comfy/text_encoders/llama_tokenizer/tokenizer.json",),
)
# In its custom_nodes
COMFY_PACKS = (Pin("cubiq/ComfyUI_IPAdapter_plus", "9d076a3df0d2763cef5510ec5ab807f6632c39f5", "2025-02-26"),)

# {host: {folder in repositories/: pin}}, as the host's modules/launch_utils.py has them
BESIDE = {
    "a1111": {
        "stable-diffusion-webui-assets": ASSETS,
        # The repository it came from is gone since December 2025.
        "stable-diffusion-stability-ai": Pin(
            "w-e-w/stablediffusion",
            "cf1d67a6fd5ea1aa600c4df58e5b47da45f6bdbf",
            "2023-03-25",
            elsewhere=("Stability-AI/stablediffusion",),
            without=("assets/",),
        ),
        "generative-models": Pin(
            "Stability-AI/generative-models",
            "45c443b316737a4ab6e40413d7794a7f5657c19f",
            "2023-07-26",
            without=("assets/",),
        ),
        "k-diffusion": Pin("crowsonkb/k-diffusion", "ab527a9a6d347f364e3d185ba6d714e22d80cb3c", "2023-08-12"),
        "BLIP": BLIP,
    },
    "forge": {
        "stable-diffusion-webui-assets": ASSETS,
        "huggingface_guess": Pin(
            "lllyasviel/huggingface_guess", "84826248b49bb7ca754c73293299c4d4e23a548d", "2024-08-14"
        ),
        "BLIP": BLIP,
    },
    "neo": {},
}

# {host: pins}, beside what Forge and Neo have built in. Not Distributed: without a second WebUI to measure itself
# against, it keeps the first request of the API waiting for ever (its benchmark wants the lock that the request holds).
EXTENSIONS = {
    "a1111": (
        Pin("Mikubill/sd-webui-controlnet", "56cec5b2958edf3b1807b7e7b2b1b5186dbd2f81", "2024-07-25"),
        Pin("mcmonkeyprojects/sd-dynamic-thresholding", "73e4e04565aa86237d66764ac58ffae1f7e40e48", "2025-03-14"),
        Pin(
            "pkuliyi2015/multidiffusion-upscaler-for-automatic1111",
            "22798f6822bc9c8a905b51da8954ee313b973331",
            "2024-08-07",
        ),
        Pin("hako-mikan/sd-webui-regional-prompter", "be623452203b396ed87b85583a3cfd56e8157214", "2025-06-23"),
        Pin("hako-mikan/sd-webui-negpip", "dc75fd2c0110dc27c8dea31221fcdf9090dbaf55", "2025-11-30"),
        Pin("continue-revolution/sd-webui-animatediff", "a88e88912bcbae0531caccfc50fd639f6ea83fd0", "2024-09-21"),
        Pin("Bing-su/adetailer", "36189cbea735b85fd01e98ac42002b8ce6f0e41d", "2025-03-10"),
    ),
    "forge": (
        Pin("DenOfEquity/sd-forge-blockcache", "319b57885a171035b77d17c3aba79aadf0d07366", "2025-05-30"),
        Pin("Haoming02/sd-forge-couple", "7a396d8d4f5c80164aa903775ace51cb51230fe3", "2026-05-13"),
        Pin("muerrilla/sd-webui-detail-daemon", "19479998340831d7804fca8efd3f262b54b6373f", "2025-11-05"),
    ),
    # Its page is not the WebUI's: a shell with workspaces, which browser tests do not find their way in.
    "neo": (
        Pin("UR-al/sam-extra", "da340ecd41dd838821f26583b7838e14e14e86ec", "2026-07-24", without=("javascript/",)),
    ),
}
