"""Records as pages, a kind of page a file."""
