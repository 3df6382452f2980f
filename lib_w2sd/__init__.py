"""Weak-to-Strong Diffusion with Reflection (W2SD) inside the AUTOMATIC1111 and Forge WebUIs."""

__version__ = "0.1.0"
