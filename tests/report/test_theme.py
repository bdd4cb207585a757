"""Colours that can be read: by contrast with the page (WCAG 2.2), and apart from each other by
colour-blind readers.

Formulas: relative luminance and contrast, w3.org/TR/WCAG22; dichromacy, Machado, Oliveira and
Fernandes 2009 (severity 1).
"""

import re
from itertools import combinations

import numpy as np
import pytest

from depthscale._report.chart.theme import PAGE_COLOURS, SERIES_COLOURS
from depthscale._report.page.document import asset

TEXT, GRAPHICS = 4.5, 3.0  # least contrast of small text, and of what a picture is read by
WORDS = ("--ink", "--faint", "--blue", "--growth", "--guilty")
MARKS = (
    "--blue",
    "--vermilion",
    "--green",
    "--orange",
    "--ochre",
    "--purple",
    "--axis",
    "--guilty",
)
# least distance in OKLab of two series' colours, 4 times that of colours just told apart (0.02)
APART = 0.08

BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def variables(scheme: str) -> dict[str, str]:
    """The page's colours by name, as its two style sheets set them."""
    found: dict[str, str] = {}
    for sheet in (asset("base.css"), asset("page.css")):
        light = re.findall(r"^:root \{(.*?)\}", sheet, re.MULTILINE | re.DOTALL)
        dark = re.findall(r"prefers-color-scheme: dark\) \{ :root \{(.*?)\}", sheet, re.DOTALL)
        for block in light + (dark if scheme == "dark" else []):
            found |= dict(re.findall(r"(--[\w-]+):\s*(#\w+)", block))
    return found


def linear(colour: str) -> np.ndarray:
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(each) @ [0.2126, 0.7152, 0.0722]) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Linear sRGB in Ottosson's perceptually even space."""
    to_lms = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.array(to_lab) @ np.cbrt(np.array(to_lms) @ rgb)


def test_contrast_is_wcag_s() -> None:
    """Black on white has 21, and #767676 is the lightest grey that reaches 4.5."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") > 4.5 > contrast("#777777", "#ffffff")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_marks_stand_out_from_the_page(scheme: str) -> None:
    colours = variables(scheme)
    for names, least in ((WORDS, TEXT), (MARKS, GRAPHICS)):
        low = {name: contrast(colours[name], colours["--paper"]) for name in names}
        assert {name: round(value, 2) for name, value in low.items() if value < least} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("blindness", BLINDNESS)
def test_series_are_told_apart_by_every_reader(scheme: str, blindness: str) -> None:
    known = variables(scheme)
    names = [
        PAGE_COLOURS[colour].removeprefix("var(").removesuffix(")") for colour in SERIES_COLOURS
    ]
    seen = {
        name: oklab(np.clip(np.array(BLINDNESS[blindness]) @ linear(known[name]), 0, 1))
        for name in names
    }
    near = {
        pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]]))
        for pair in combinations(names, 2)
    }
    assert {pair: round(distance, 3) for pair, distance in near.items() if distance < APART} == {}
