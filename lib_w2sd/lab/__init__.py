"""The paper's experiments and the embedded demo. Nothing of the extension imports this package."""
