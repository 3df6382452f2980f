"""A sampling pass: both sides evaluated through the host's denoiser, which may not notice."""
