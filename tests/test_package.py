"""The public names are there, and cost nothing until they are used."""

import subprocess
import sys

import pytest

import depthscale as ds


def test_every_public_name_is_found() -> None:
    for name in ds.__all__:
        assert getattr(ds, name) is not None
    assert dir(ds) == sorted([*ds.__all__, "__version__"])


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(AttributeError, match=r"depthscale has no 'probes'; it has .*simulate"):
        ds.probes  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_the_package_loads_no_torch() -> None:
    code = (
        "import sys, depthscale; assert 'torch' not in sys.modules; depthscale.NetSpec(); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
