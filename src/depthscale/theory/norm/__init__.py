"""The normalizers' rules: `regime` says once which law of sigma holds, and each law is one file."""

from depthscale.theory.norm.contract import Regime
from depthscale.theory.norm.norm_shares import Deviation, NormShares
from depthscale.theory.norm.regime import backward, deviation, forward, regime, shares

__all__ = [
    "Deviation",
    "NormShares",
    "Regime",
    "backward",
    "deviation",
    "forward",
    "regime",
    "shares",
]
