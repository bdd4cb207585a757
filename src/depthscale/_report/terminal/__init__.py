"""Records as tables and lines of a terminal of 80 columns."""
