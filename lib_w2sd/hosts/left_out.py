"""What the pipeline gap's overlays have in common on every host."""

from ..gaps.pipeline import Pipeline

SETTING = Pipeline.settings[0]


class LeftOut:
    """Overlay of a weak side that does without `parts` (gaps.pipeline.PARTS); a host's own says how."""

    def __init__(self, host, parts: "tuple[str, ...]"):
        self.host, self.parts = host, parts

    def as_dict(self) -> dict:
        return {"kind": "pipeline", "without": list(self.parts)}

    def check(self, found: set) -> None:
        """Raises SettingError where the picture has not all of the parts, unless some of it is made already."""
        absent = [part for part in self.parts if part not in found]
        if absent and not self.host.begun:
            SETTING.refuse(", ".join(self.parts), f", but there is no {' and no '.join(absent)} in this picture")
