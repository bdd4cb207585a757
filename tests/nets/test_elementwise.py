"""The torch form of every activation is the table's."""

import numpy as np
import pytest
import torch

from depthscale.errors import InvalidSpec
from depthscale.nets.elementwise import elementwise
from depthscale.network.activations import ACTIVATIONS, activation


@pytest.mark.parametrize(
    "name", [*sorted(ACTIVATIONS), "leaky_relu(0.3)", "elu(0.5)", "celu(2)", "prelu(-0.1)"]
)
def test_both_forms_agree(name: str) -> None:
    z = np.linspace(-4, 4, 401)[1::2]  # no kink among them
    gradient = np.cos(z)
    torch_form, table = elementwise(name), activation(name)
    z_torch, gradient_torch = torch.tensor(z), torch.tensor(gradient)
    assert np.allclose(torch_form.phi(z_torch).numpy(), table.phi(z), rtol=1e-7, atol=1e-12)
    backward = torch_form.backward(gradient_torch, z_torch).numpy()
    assert np.allclose(backward, gradient * table.derivative(z), rtol=1e-6, atol=1e-12)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="unknown activation"):
        elementwise("nothing")
