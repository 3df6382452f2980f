"""Small models of random weights. What writes them runs in the host's own environment, with the host's own modules."""
