"""A request, from its first hook to its last picture."""
