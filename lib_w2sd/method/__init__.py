"""The method: reflection (arXiv 2502.00473), which steps of which sampler, rows counted and shared, the trace."""
