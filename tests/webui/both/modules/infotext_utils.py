class PasteField(tuple):
    """(component, label or function of the parsed infotext)"""

    def __new__(cls, component, target, *, api=None):
        return super().__new__(cls, (component, target))

    def __init__(self, component, target, *, api=None):
        self.component, self.api = component, api
        self.label, self.function = (target, None) if isinstance(target, str) else (None, target)
