"""The immutable values: what they accept, and that they stay as they are."""

from dataclasses import FrozenInstanceError, fields, is_dataclass
from datetime import UTC, datetime

import numpy as np
import pytest

from blindsight.core import claims, matching, types
from blindsight.core.claims import Claim, Leakage
from blindsight.core.errors import DimensionError, ModelMismatchError, VectorError
from blindsight.core.types import Candidate, Decision, Embedding, Probes, Templates, frozen

VALUES = sorted(
    {
        cls
        for module in (types, claims, matching)
        for cls in vars(module).values()
        if is_dataclass(cls) and cls.__module__ == module.__name__
    },
    key=lambda cls: cls.__name__,
)


@pytest.mark.parametrize("cls", VALUES, ids=lambda cls: cls.__name__)
def test_every_value_is_frozen_and_closed(cls):
    instance = object.__new__(cls)
    name = fields(cls)[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(instance, name, 1)
    with pytest.raises(FrozenInstanceError):
        delattr(instance, name)
    assert not hasattr(instance, "__dict__")
    assert set(cls.__slots__) == {field.name for field in fields(cls)}


def test_the_values_are_all_there():
    names = {cls.__name__ for cls in VALUES}
    assert {"Embedding", "Templates", "Probes", "Candidate", "Decision", "Leakage"} <= names
    assert {"GallerySpec", "GalleryInfo", "BlockInfo", "Block", "Changes", "Answer"} <= names


# -- embeddings --------------------------------------------------------------------------------


def test_an_embedding_is_float32_and_read_only():
    embedding = Embedding(np.arange(4.0), "model")
    assert embedding.vector.dtype == np.float32
    assert embedding.vector.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        embedding.vector[0] = 1
    strided = Embedding(np.arange(8, dtype=np.float32)[::2], "model")
    assert list(strided.vector) == [0, 2, 4, 6]
    assert strided.vector.flags.c_contiguous


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_embedding_is_finite(bad):
    vector = np.ones(8)
    vector[5] = bad
    with pytest.raises(VectorError, match="NaN or an infinity"):
        Embedding(vector, "model")


@pytest.mark.filterwarnings("ignore:overflow")
def test_an_embedding_fits_single_precision():
    with pytest.raises(VectorError, match="infinity"):
        Embedding(np.array([1e39, 1.0]), "model")


@pytest.mark.parametrize("vector", [np.zeros(8), -np.zeros(8), np.zeros(0), np.full(8, 1e-60)])
def test_an_embedding_is_not_zero(vector):
    with pytest.raises(VectorError, match="zeros"):
        Embedding(vector, "model")


@pytest.mark.parametrize("shape", [(1, 8), (8, 1), (2, 2, 2)])
def test_an_embedding_is_one_vector(shape):
    with pytest.raises(DimensionError):
        Embedding(np.ones(shape), "model")


def test_embeddings_of_two_models_do_not_meet():
    embedding = Embedding(np.ones(8), "one")
    embedding.require_model("one")
    with pytest.raises(ModelMismatchError, match=r"two.*one"):
        embedding.require_model("two")
    with pytest.raises(ModelMismatchError):
        embedding.require_model("One")


# -- templates and probes -----------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Templates, Probes])
def test_encoded_rows(cls):
    rows = cls(np.arange(12, dtype=np.int32).reshape(3, 4)[:, ::2], "id")
    assert len(rows) == 3
    assert rows.values.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        rows.values[0, 0] = 1
    assert len(cls(np.zeros((0, 4), np.int32), "id")) == 0


@pytest.mark.parametrize("cls", [Templates, Probes])
@pytest.mark.parametrize(
    "values",
    [np.zeros(4, np.int32), np.zeros((1, 2, 2), np.int32), np.zeros((2, 2)), np.zeros((2, 2), np.int64),
     np.zeros((2, 2), np.uint32)],
)  # fmt: skip
def test_other_arrays_are_refused(cls, values):
    with pytest.raises(DimensionError):
        cls(values, "id")


def test_frozen_is_a_read_only_view():
    array = np.zeros(4)
    view = frozen(array)
    assert np.shares_memory(array, view)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    array[0] = 5  # the owner still may
    assert view[0] == 5


def test_a_decision_has_its_own_defaults():
    def decide():
        return Decision(
            match=False, subject=None, rank=None, score=None, threshold=0.5,
            candidates=(Candidate("x", 1, None),), at=datetime(2024, 1, 1, tzinfo=UTC), scheme="clear",
        )  # fmt: skip

    one, two = decide(), decide()
    assert one == two
    assert one.timings == {}
    assert one.timings is not two.timings
    assert one.traffic is not one.timings


# -- claims -----------------------------------------------------------------------------------------------


def test_leakage_lookup():
    leakage = Leakage((("matcher", ("how many", "when")), ("network", ())), ("that it answers",))
    assert leakage.of("matcher") == ("how many", "when")
    assert leakage.of("network") == ()
    assert leakage.of("nobody") == ()
    assert leakage.of("") == ()
    assert hash(leakage) == hash(Leakage(leakage.learns, leakage.not_claimed))


def test_claims_are_the_four():
    assert {claim.value for claim in Claim} == {"none", "perceptual", "IND-CPA", "active two-party"}
