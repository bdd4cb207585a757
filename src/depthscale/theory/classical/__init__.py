"""Networks without a norm: the maps of q and c, their fixed points, the lines where a gradient
keeps its size, all at one point, and the spectrum of J J^T."""
