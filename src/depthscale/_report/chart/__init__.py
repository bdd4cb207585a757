"""Records as altair charts and drawings."""
