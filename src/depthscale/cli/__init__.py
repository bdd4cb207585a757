"""The command line: one file a command, which joins `app` as it is imported."""

from importlib import import_module
from pkgutil import iter_modules

from depthscale.cli.frame import app, main

for file in iter_modules(__path__):
    import_module(f"{__name__}.{file.name}")

__all__ = ["app", "main"]
