"""The whole road once, on a throw-away server, with a live application on it: what `evolve demo` does."""
