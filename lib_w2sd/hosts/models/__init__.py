"""What the host has in its model folders, and what it puts into the pipeline beside the UNet."""
