"""Where the mean over infinitely wide networks leaves off: finite width, samples whose norms
differ, and fixed points that repel."""
