"""The examples in docstrings of public names run and print what they show."""

import doctest

import pytest

import depthscale as ds

WITH_EXAMPLES = (
    "Blocks",
    "NetSpec",
    "Residual",
    "Sketch",
    "batchnorm_backward",
    "batchnorm_backward_alt",
    "batchnorm_forward",
    "chart",
    "classical",
    "critical_line",
    "phase_diagram",
    "probe",
)


def failures(name: str, thing: object) -> tuple[int, int]:
    """How many examples failed, and how many there are, methods included."""
    runner = doctest.DocTestRunner(verbose=False)
    scope = vars(ds) | {each: getattr(ds, each) for each in WITH_EXAMPLES}
    for found in doctest.DocTestFinder(exclude_empty=True).find(thing, name, globs=scope):
        runner.run(found)
    return runner.failures, runner.tries


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_public_name_are_true(name: str) -> None:
    failed, tried = failures(name, getattr(ds, name))
    assert tried
    assert not failed


def test_a_wrong_example_is_seen() -> None:
    def wrong() -> None:
        """
        >>> Residual.skipinit(depth=16).scale
        0.5
        """

    assert failures("wrong", wrong) == (1, 1)
