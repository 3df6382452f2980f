"""Run by the WebUI when it starts. Nothing to install: a word only if the host is too old."""

try:
    from modules import infotext_utils  # noqa: F401  (since 1.8)
    from modules.scripts import Script

    old = not hasattr(Script, "process_before_every_sampling")  # since 1.9
except ImportError:
    old = True

if old:
    print("W2SD needs AUTOMATIC1111's WebUI 1.9 or newer, or Forge of 2024-08 or newer. Please update the WebUI.")
