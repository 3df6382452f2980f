# Only its name is asked for here.
