"""The UNet in use during a run: the sides' overlays in it, and its rows counted and shared in front of it."""

import functools
import time
from contextlib import ExitStack, contextmanager

from ...method.rows import RowMeter
from .isolation.layers import Layers
from .isolation.swapped import swapped


class Network:
    """Of one run.

    webui    its webui.WebUI
    meter    counts its rows
    toggles  gets the milliseconds to switch a side's overlays on and off, each time
    """

    def __init__(self, webui, meter: RowMeter, toggles: list):
        self.webui, self.meter, self.toggles = webui, meter, toggles
        self._overlaid, self._metered, self.installed = None, None, ()
        self._looked_at, self._layers = None, None

    @contextmanager
    def in_use(self):
        """Around a run. A refiner takes over inside some call of the host's denoiser; its rows count from then on."""
        denoiser = self.webui.denoiser
        update = denoiser.update_inner_model

        def updated():
            update()
            self.follow_rows()

        with ExitStack() as self._overlays, ExitStack() as self._meters:
            with swapped(denoiser, "update_inner_model", updated):
                yield self

    def renew(self) -> None:
        """What the overlays were installed in is another model now."""
        self._overlaid = None

    def follow_rows(self) -> None:
        """Count at the UNet in use; a refiner may have brought another."""
        unet = self.webui.unet()
        if unet is not self._metered:
            self._meters.close()
            network = unet.apply_model
            counted = functools.wraps(network)(lambda *args, **kwargs: self.meter.call(network, args, kwargs))
            # Whoever asks whose method it is (forge-neo-nag, which refuses a network that is not the host's own).
            counted.__self__, counted.__func__ = unet, getattr(network, "__func__", network)
            self._meters.enter_context(swapped(unet, "apply_model", counted))
            self._metered = unet

    def follow(self, overlays: tuple) -> None:
        """Have the overlays installed in the UNet in use, and count there, outermost."""
        unet, overlays = self.webui.unet(), tuple(dict.fromkeys(overlays))
        if unet is not self._overlaid or set(overlays) != set(self.installed):
            self._meters.close()
            self._overlays.close()
            self._overlaid, self._metered, self.installed = None, None, ()
            for overlay in overlays:
                self._overlays.enter_context(overlay.installed(unet))
            self._overlaid, self.installed = unet, overlays
        self.follow_rows()

    def layers(self) -> Layers:
        """Of the UNet in use."""
        unet = self.webui.unet()
        if unet is not self._looked_at:
            self._looked_at = unet
            self._layers = Layers(getattr(unet, "diffusion_model", None) or unet.model.diffusion_model)
        return self._layers

    @contextmanager
    def under(self, overlays: tuple):
        """Within, the UNet is a side's."""
        start = time.perf_counter()
        with ExitStack() as stack:
            for overlay in overlays:
                stack.enter_context(overlay.on())
            stack.enter_context(swapped(self.meter, "under", overlays))
            on = time.perf_counter() - start
            yield
            start = time.perf_counter()
        if overlays:
            self.toggles.append((on + time.perf_counter() - start) * 1e3)
