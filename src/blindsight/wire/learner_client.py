"""A learner on another machine: `blindsight.core.learning.Learner` over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blindsight.core.errors import NotFoundError
from blindsight.core.learning import ModelInfo, ModelSpec, Prediction
from blindsight.wire import learning
from blindsight.wire.client import RemoteMatcher

_TRAINING_SECONDS = 3600.0


class RemoteLearner:
    """Talks to the learner at ``url``; arguments and manners are those of `RemoteMatcher`."""

    def __init__(self, url: str, token: str, *, ca_file: str | Path | None = None) -> None:
        # Training answers when it is done, which may take long.
        self._http = RemoteMatcher(url, token, ca_file=ca_file, timeout=_TRAINING_SECONDS)

    def close(self) -> None:
        self._http.close()

    def create(self, spec: ModelSpec) -> ModelInfo:
        return learning.decode_info(
            self._http.call("POST", "/v1/models", learning.encode_spec(spec), safe=False)
        )

    def models(self) -> list[ModelInfo]:
        return learning.decode_infos(self._http.call("GET", "/v1/models"))

    def info(self, model_id: str) -> ModelInfo:
        return learning.decode_info(self._http.call("GET", _path(model_id)))

    def delete(self, model_id: str) -> None:
        self._http.call("DELETE", _path(model_id), safe=False, answers=False)

    def add(self, model_id: str, labels: Sequence[int], images: Sequence[bytes]) -> ModelInfo:
        body = learning.encode_images(labels, images)
        return learning.decode_info(self._http.call("POST", _path(model_id) + "/images", body, safe=False))

    def train(self, model_id: str, classifier: str, ratio: int) -> ModelInfo:
        body = learning.encode_train(classifier, ratio)
        return learning.decode_info(self._http.call("POST", _path(model_id) + "/train", body, safe=False))

    def predict(self, model_id: str, images: Sequence[bytes], version: int = 0) -> Prediction:
        classes = self.info(model_id).spec.classes
        body = learning.encode_predict(version, images)
        answer = self._http.call("POST", _path(model_id) + "/predict", body)
        return learning.decode_prediction(answer, len(images), classes)


def _path(model_id: str) -> str:
    if not learning.MODEL_ID.fullmatch(model_id):
        raise NotFoundError("The learner has no such model.")
    return f"/v1/models/{model_id}"
