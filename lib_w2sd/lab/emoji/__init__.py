"""A small text-to-image model in Stable Diffusion 1.5's layout, trained on openly licensed emoji (see NOTICE)."""
