"""Why: arguments as records, every number in them computed."""
