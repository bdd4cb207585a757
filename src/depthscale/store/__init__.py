"""Runs as files, and the JSON objects of the commands."""

from depthscale.store.saved import load, save
from depthscale.store.views import (
    SCHEMA,
    classical_record,
    dumps,
    number,
    phase_record,
    record,
)

__all__ = [
    "SCHEMA",
    "classical_record",
    "dumps",
    "load",
    "number",
    "phase_record",
    "record",
    "save",
]
