"""The founding experiment as an article."""
