"""A UNet's weights: files opened, two sets exchanged, single layers changed. No host."""
