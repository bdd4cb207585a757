"""Runs as files, and the JSON objects of the commands."""

from depthscale.store.plain import Misfit as Misfit
from depthscale.store.plain import as_plain as as_plain
from depthscale.store.plain import rebuilt as rebuilt
from depthscale.store.saved import load as load
from depthscale.store.saved import save as save
from depthscale.store.saved import saved_record as saved_record
from depthscale.store.saved import saved_run as saved_run
from depthscale.store.views import SCHEMA as SCHEMA
from depthscale.store.views import classical_record as classical_record
from depthscale.store.views import dumps as dumps
from depthscale.store.views import number as number
from depthscale.store.views import phase_record as phase_record
from depthscale.store.views import record as record

__all__: list[str]
