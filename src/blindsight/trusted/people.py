"""Learning to recognise people by what they look like: attributes, metric, map and quantiser.

Seed 000's whole training, from image features of labelled crops to the one model that a user
keeps. What is learned from people stays on the trusted side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from blindsight.core.errors import ModelError
from blindsight.core.types import F32
from blindsight.encoding import FeatureMap, LinearEncoding, Quantiser
from blindsight.vision.attribute_table import AttributeTable
from blindsight.vision.attribute_training import TrainedAttributes, train_attributes
from blindsight.vision.people_model import PeopleModel

if TYPE_CHECKING:
    from blindsight.encoding.metric import LMNN

_STRANGERS = 0.01
"""Share of the training people's impostor pairs that the model's threshold lets through."""


def learn(
    features: F32, persons: Sequence[str], table: AttributeTable, *, dimension: int, least_people: int = 5
) -> tuple[TrainedAttributes, LMNN, FeatureMap]:
    """Attributes, then a metric on what models say of people whom they have not seen, then the map.

    Args:
        features: image features of crops, float32 (crops, D).
        persons: on each crop, (crops,).
        table: what they look like.
        dimension: N, attributes and co-occurring attributes.
        least_people: see `train_attributes`, whose errors these are.

    Raises:
        ModelError: scikit-learn is not installed.
        UsageError: nobody is there twice, beside what `train_attributes` raises.

    """
    try:
        from blindsight.encoding.metric import LMNN
    except ImportError:
        raise ModelError('Training needs scikit-learn: pip install "blindsight[people]".') from None
    trained = train_attributes(features, persons, table, dimension=dimension, least_people=least_people)
    metric = LMNN(max_iter=3, tol=None, init="rca").fit(trained.confidences, np.asarray(persons))
    return trained, metric, FeatureMap.balanced(metric.components_, trained.confidences)


def train_people(
    features: F32,
    persons: Sequence[str],
    table: AttributeTable,
    *,
    bits: int = 6,
    dimension: int = 95,
    least_people: int = 5,
) -> PeopleModel:
    """The model that a user trains once: crops in, features for a gallery out.

    Its threshold is the distance below which 1 % of the training people's impostor pairs lie.

    Raises:
        ParameterError: bits outside 1 to 8; and what `learn` raises.

    """
    trained, _, mapped = learn(features, persons, table, dimension=dimension, least_people=least_people)
    known = mapped.apply(trained.confidences)
    limit = LinearEncoding.of(Quantiser.fitted(bits, known)).limit
    return PeopleModel(trained.model, mapped, bits, limit, _threshold(known, persons))


def _threshold(known: F32, persons: Sequence[str]) -> float:
    names, points = np.asarray(persons), known.astype(np.float64)
    lengths = (points * points).sum(axis=1)
    squared = lengths[:, np.newaxis] + lengths - 2.0 * (points @ points.T)
    impostors = squared[names[:, np.newaxis] != names]
    return float(np.float32(np.sqrt(max(float(np.quantile(impostors, _STRANGERS)), 0.0))))
