"""Torture: random networks, kills, interrupts, exceptions, threads, damaged files, hostile names
and leaks, each from a seed. `python -m tests.torture` runs them and counts what held."""
