"""Embeddings to integers: normalise, scale, round, with bounds that the schemes rely on.

The learned metric, `blindsight.encoding.metric.LMNN`, is imported from its own module: it
needs scikit-learn.
"""

from blindsight.encoding.fixed_point import Encoding, Metric
from blindsight.encoding.quantise import Quantiser
from blindsight.encoding.rings import RingPlan, plan_ring

__all__ = ["Encoding", "Metric", "Quantiser", "RingPlan", "plan_ring"]
