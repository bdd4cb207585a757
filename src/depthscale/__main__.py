"""python -m depthscale: the command line."""

from depthscale.cli import main

main()
