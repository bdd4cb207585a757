"""Gains and shifts in front of an activation (Yang et al. 2019, figure 4), and Batch Norm's rate
with them at infinite batch."""

KNOBS = {  # activation, gain, shift
    ("relu", 1, -1): "2.3196",
    ("relu", 1, 0.5): "1.2494",
    ("relu", 1, 1): "1.1202",
    ("relu", 1, 2): "1.01776",
    ("relu", 1, 3): "1.00115",
    ("tanh", 2, 0): "1.6116",
    ("tanh", 0.5, 0): "1.0336",
    ("tanh", 0.25, 0): "1.0038",
    ("tanh", 0.1, 0): "1.000126",
}
