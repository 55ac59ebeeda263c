"""Scrambling as a step of a scikit-learn pipeline, on the side that has the key."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from blindsight.core.errors import ImageError, UsageError
from blindsight.core.types import U8
from blindsight.schemes.etc_image.params import Params
from blindsight.schemes.etc_image.protect import protect_batch
from blindsight.schemes.etc_image.reveal import reveal_batch
from blindsight.schemes.etc_image.secret import SecretKey


class EtcEncryptor(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Images in, rows of scrambled pixels out; PERCEPTUAL protection, whatever its name suggests.

    It belongs before the network, the rest of the pipeline behind it. Cloning shares the key,
    pickling refuses.

    Args:
        key: the client's; where None, `fit` makes one, kept in ``key_``.
        params: layout and block; where None, `Params.grey` or `Params.colour` as the images have it.

    Attributes:
        key_: that is used.
        params_: that are used.
        image_shape_: of one image.
        n_features_out_: values of a scrambled image.

    """

    def __init__(self, key: SecretKey | None = None, params: Params | None = None) -> None:
        self.key = key
        self.params = params

    def fit(self, X: Any, y: Any = None) -> Self:
        """Take note of the images' size: uint8 (n, height, width) or (n, height, width, 3)."""
        images = _images(X)
        if self.key is not None and not isinstance(self.key, SecretKey):
            raise UsageError("The key of an EtcEncryptor is a key of the scheme etc_image.")
        self.params_ = self.params or (Params.grey() if images.ndim == 3 else Params.colour())
        self.params_.grid(*images.shape[1:3])
        self.key_ = self.key or SecretKey.generate()
        self.image_shape_ = images.shape[1:]
        self.n_features_out_ = int(np.prod(self.params_.shape(*images.shape[1:3])))
        return self

    def transform(self, X: Any) -> U8:
        """uint8 (n, values), each image a row."""
        images = self._like_fitted(X)
        return protect_batch(self.key_, self.params_, images).reshape(len(images), -1)

    def inverse_transform(self, X: Any) -> U8:
        """The images again; to within 1 for planes in YCbCr, else exactly."""
        check_is_fitted(self)
        height, width = self.image_shape_[:2]
        rows = np.asarray(X)
        if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != self.n_features_out_:
            raise ImageError(f"Scrambled images are rows of {self.n_features_out_} values, uint8.")
        shaped = rows.reshape(len(rows), *self.params_.shape(height, width))
        return reveal_batch(self.key_, self.params_, shaped, height, width)

    def _like_fitted(self, X: Any) -> U8:
        check_is_fitted(self)
        images = _images(X)
        if images.shape[1:] != self.image_shape_:
            raise ImageError("The images have another size than those that were fitted.")
        return images

    @property
    def _n_features_out(self) -> int:
        return self.n_features_out_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def _images(X: Any) -> U8:
    images = np.asarray(X)
    shaped = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    if images.dtype != np.uint8 or not shaped or not images.size:
        raise ImageError("Images are uint8 of shape (n, height, width) or (n, height, width, 3).")
    return images
