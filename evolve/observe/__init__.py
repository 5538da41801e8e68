"""What evolve tells monitoring while it works: metrics, traces, and events for logs and hooks."""
