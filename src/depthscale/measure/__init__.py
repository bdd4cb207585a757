"""What profiles say: how fast gradients grow, and how far two profiles agree."""

from depthscale.measure.compare import Comparison, Comparisons, compare
from depthscale.measure.growth import Growth, growth

__all__ = ["Comparison", "Comparisons", "Growth", "compare", "growth"]
