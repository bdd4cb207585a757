"""The options that describe a network: the fields of NetSpec."""

from typing import Annotated

from cyclopts import Parameter

from depthscale.network import NetSpec

Network = Annotated[NetSpec | None, Parameter(name="*")]
