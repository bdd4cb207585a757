"""The positions of a sample: what brings them together (`positions`), and what zeros around an
image make of them (`border_profile`, `borders`)."""
