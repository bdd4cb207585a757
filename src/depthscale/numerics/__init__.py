"""Expectations over a Gaussian and over a sphere, each with its error."""
