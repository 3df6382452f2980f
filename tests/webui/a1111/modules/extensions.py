from types import SimpleNamespace


def active():
    return [SimpleNamespace(name="sd-webui-controlnet")]
