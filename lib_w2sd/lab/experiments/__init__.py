"""The paper's experiments at our scale, one a file."""
