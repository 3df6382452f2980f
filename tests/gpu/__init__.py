"""What a GPU has to show, in networks of full size with random weights: `python -m tests.gpu`."""
