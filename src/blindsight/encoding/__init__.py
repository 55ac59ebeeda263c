"""Embeddings to integers: normalise, scale, round, with bounds that the schemes rely on.

The learned metric, `blindsight.encoding.metric.LMNN`, is imported from its own module: it
needs scikit-learn.
"""

from blindsight.encoding.balanced import FeatureMap
from blindsight.encoding.fixed_point import Encoding, Metric
from blindsight.encoding.kinds import GalleryEncoding, stored_encoding
from blindsight.encoding.linear import LinearEncoding
from blindsight.encoding.quantise import Quantiser
from blindsight.encoding.rings import RingPlan, plan_parameters, plan_ring, slots

__all__ = [
    "Encoding",
    "FeatureMap",
    "GalleryEncoding",
    "LinearEncoding",
    "Metric",
    "Quantiser",
    "RingPlan",
    "plan_parameters",
    "plan_ring",
    "slots",
    "stored_encoding",
]
