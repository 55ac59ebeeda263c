"""Learning on scrambled images: the same to the last bit as on plain ones, and models that are arrays."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from blindsight.core.errors import (
    BlindsightError,
    ImageError,
    ImageTooSmallError,
    KeyMismatchError,
    MalformedError,
    ParamsMismatchError,
    UsageError,
)
from blindsight.learning.etc_features import EtcReducer
from blindsight.learning.etc_model import Classifier, Condition, Images, Model
from blindsight.learning.etc_svm import KernelSvm
from blindsight.learning.etc_training import pipeline, train
from blindsight.schemes.etc_image.params import Params
from blindsight.schemes.etc_image.protect import protect_batch
from blindsight.schemes.etc_image.secret import SecretKey
from blindsight.trusted.etc_encryptor import EtcEncryptor
from faces import people
from real_data import DATA, needs

KEY = SecretKey.load(bytes(32))
ABOUT = Images("etc-grey-8", 48, 40, Condition.COMMON, (KEY.key_id,))


def rows(images):
    return images.reshape(len(images), -1)


@pytest.fixture(scope="module")
def data():
    images, owners = people(5, 14, 48, 40)
    half = np.arange(len(owners)) % 2 == 0
    return images, protect_batch(KEY, Params.grey(), images), owners, half


# -- estimators ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [EtcReducer(2), KernelSvm(), KernelSvm("rbf")], ids=repr)
def test_check_estimator(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_skip=None)
    assert len(results) > 30
    assert {one["status"] for one in results} <= {"passed", "skipped"}


def test_check_estimator_of_the_encryptor():
    """Most checks are for tables, and it takes images; the rest is asked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(EtcEncryptor(), on_skip=None)
    assert {one["status"] for one in results} == {"passed"}
    images, owners = people(3, 4, 24, 24)
    mine = EtcEncryptor(KEY, Params.grey())
    with pytest.raises(NotFittedError):
        mine.transform(images)
    assert mine.fit(images, owners) is mine
    assert mine.get_params() == {"key": KEY, "params": Params.grey()}
    twin = clone(mine)
    assert twin.key is KEY
    assert not hasattr(twin, "key_")
    assert (twin.fit_transform(images) == mine.transform(images)).all()
    with pytest.raises(TypeError):
        pickle.dumps(mine)
    whole = make_pipeline(EtcEncryptor(KEY), EtcReducer(4), StandardScaler(), KernelSvm()).fit(images, owners)
    assert (whole.predict(images) == owners).all()


@pytest.mark.parametrize("params", [Params.grey(), Params.grey(4), None], ids=str)
@pytest.mark.parametrize("ratio", [1, 7, 20])
def test_reduced_alike_to_the_last_bit(data, params, ratio):
    images, _, _, half = data
    hidden = EtcEncryptor(KEY, params).fit(images).transform(images)
    plain_reducer, reducer = EtcReducer(ratio).fit(rows(images[half])), EtcReducer(ratio).fit(hidden[half])
    one, two = plain_reducer.transform(rows(images)), reducer.transform(hidden)
    assert one.tobytes() == two.tobytes()
    assert one.shape[1] == 48 * 40 // ratio
    if ratio == 20:
        assert (plain_reducer.columns_ != reducer.columns_).mean() > 0.9, "these were no scrambled images"


def test_ties_are_told_apart_by_values():
    """Columns that are each other's permutation have one variance, and no place to be told by."""
    rng = np.random.default_rng(1)
    column = rng.integers(0, 256, 9)
    table = np.stack([rng.permutation(column) for _ in range(60)], axis=1).astype(np.uint8)
    order = rng.permutation(60)
    flip = rng.integers(0, 2, 60).astype(bool)
    hidden = np.where(flip, 255 - table[:, order], table[:, order]).astype(np.uint8)
    one, two = (EtcReducer(3).fit(values).transform(values) for values in (table, hidden))
    assert one.tobytes() == two.tobytes()
    assert len(np.unique(one.T, axis=0)) == 20


def test_pixels_that_never_change_are_left_out():
    table = np.zeros((6, 40), np.uint8)
    table[:, 5] = range(6)
    table[:, 9] = [3, 1, 4, 1, 5, 9]
    made = EtcReducer(4).fit(table)
    assert set(made.columns_) == {5, 9}
    assert EtcReducer(4).fit(np.zeros((6, 40))).transform(np.zeros((6, 40))).shape == (6, 10)


def test_spread_over_all_variances(data):
    images = rows(data[0])
    variances = images.astype(float).var(axis=0)
    kept = variances[EtcReducer(20).fit(images).columns_]
    assert np.quantile(kept, 0.5) == pytest.approx(np.quantile(variances, 0.5), rel=0.1)


# -- the paper's property ------------------------------------------------------------------------------


@pytest.mark.parametrize("classifier", list(Classifier), ids=lambda c: c.value)
@pytest.mark.parametrize("ratio", [20, 80])
def test_plain_and_scrambled_are_judged_alike(data, classifier, ratio):
    images, hidden, owners, half = data
    one = train(rows(images[half]), owners[half], ABOUT, classifier, ratio).scores(rows(images[~half]))
    two = train(rows(hidden[half]), owners[half], ABOUT, classifier, ratio).scores(rows(hidden[~half]))
    assert np.abs(one - two).max() <= 1e-9 * np.abs(one).max()
    assert one.tobytes() == two.tobytes()
    if ratio == 20:
        assert (one.argmax(axis=1) == owners[~half]).mean() > 0.8


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_by_position_as_the_paper_has_it(data, kernel):
    """All pixels, in the order they come, through scikit-learn's own z-score: no `EtcReducer`."""
    images, hidden, owners, half = data
    found = []
    for values in (rows(images), rows(hidden)):
        model = make_pipeline(StandardScaler(), KernelSvm(kernel)).fit(
            values[half].astype(float), owners[half]
        )
        found.append(model.decision_function(values[~half].astype(float)))
    assert (found[0].argmax(axis=1) == found[1].argmax(axis=1)).all()
    # Sums in another order differ in the last bit, and the solver may stop elsewhere within its tolerance.
    assert np.abs(found[0] - found[1]).max() <= 5e-3 * np.abs(found[0]).max()


def test_without_z_scores_it_is_not_so(data):
    images, hidden, owners, half = data
    found = [
        KernelSvm("linear").fit(rows(v)[half] / 255.0, owners[half]).decision_function(rows(v)[~half] / 255.0)
        for v in (images, hidden)
    ]
    assert np.abs(found[0] - found[1]).max() > 1e-6


@pytest.mark.data
@needs("extended_yale_b")
@pytest.mark.parametrize("kernel", [Classifier.SVM_LINEAR, Classifier.SVM_RBF], ids=lambda c: c.value)
def test_extended_yale_b(kernel):
    from blindsight.vision.fitting import fitted
    from blindsight.vision.images import read_image

    images, owners = [], []
    for person, folder in enumerate(sorted((DATA / "extended_yale_b").glob("yaleB*"))[:6]):
        for path in sorted(folder.glob("*.png"))[::3]:
            images.append(fitted(read_image(path).pixels, 192, 160, grey=True))
            owners.append(person)
    plain, people_ = np.stack(images), np.array(owners, np.int64)
    hidden = protect_batch(KEY, Params.grey(), plain)
    half = np.arange(len(people_)) % 2 == 0
    about = Images("etc-grey-8", 192, 160, Condition.COMMON, (KEY.key_id,))
    for ratio in (20, 40, 60, 80):
        scores = [
            train(rows(v[half]), people_[half], about, kernel, ratio).scores(rows(v[~half]))
            for v in (plain, hidden)
        ]
        assert np.abs(scores[0] - scores[1]).max() <= 1e-9 * np.abs(scores[0]).max()
        assert (scores[0].argmax(axis=1) == people_[~half]).mean() > 0.7


# -- models as arrays ----------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("classifier", list(Classifier), ids=lambda c: c.value)
def test_models_judge_as_scikit_learn_does(data, classifier, classes):
    _, hidden, owners, half = data
    some = owners < classes
    trained, asked = rows(hidden[half & some]), rows(hidden[~half & some])
    model = train(trained, owners[half & some], ABOUT, classifier, 20)
    scores = Model.decode(model.encode()).scores(asked)
    assert scores.shape == (len(asked), classes)
    assert scores.tobytes() == model.scores(asked).tobytes()
    assert np.allclose(model.score(asked, 1), scores[:, 1], rtol=0, atol=1e-9)
    theirs = pipeline(classifier, 20).fit(trained, owners[half & some])
    assert (scores.argmax(axis=1) == theirs.predict(asked)).all()
    if classifier is Classifier.FOREST:
        assert np.allclose(scores, theirs.predict_proba(asked), atol=1e-12)


def test_no_images_no_scores(data):
    _, hidden, owners, _ = data
    model = train(rows(hidden), owners, ABOUT, Classifier.SVM_LINEAR, 20)
    assert model.scores(np.empty((0, model.values), np.uint8)).shape == (0, 5)


@pytest.mark.parametrize("classifier", list(Classifier), ids=lambda c: c.value)
def test_damaged_models(data, classifier):
    _, hidden, owners, _ = data
    good = train(rows(hidden[::3]), owners[::3], ABOUT, classifier, 80).encode()
    rng = np.random.default_rng(0)
    for length in (0, 7, 20, len(good) // 2, len(good) - 1):
        with pytest.raises(MalformedError):
            Model.decode(good[:length])
    for at in rng.integers(0, len(good), 60):
        broken = bytearray(good)
        broken[at] ^= 1 << rng.integers(0, 8)
        with pytest.raises(MalformedError):
            Model.decode(bytes(broken))
    with pytest.raises(MalformedError):
        Model.decode(good + b"\0")


@pytest.mark.parametrize(
    ("classifier", "name", "wrong"),
    [
        (Classifier.SVM_LINEAR, "columns", lambda a: a + 10**9),
        (Classifier.SVM_LINEAR, "columns", lambda a: a.astype(np.int32)),
        (Classifier.SVM_LINEAR, "columns", lambda a: a[:0]),
        (Classifier.SVM_LINEAR, "signs", lambda a: a * 2),
        (Classifier.SVM_LINEAR, "scale", lambda a: a * 0),
        (Classifier.SVM_LINEAR, "mean", lambda a: a * np.nan),
        (Classifier.SVM_LINEAR, "gamma", lambda a: a + 1),
        (Classifier.SVM_RBF, "gamma", lambda a: a * 0),
        (Classifier.SVM_RBF, "dual", lambda a: a[:1]),
        (Classifier.SVM_RBF, "vectors", lambda a: a[:, :-1]),
        (Classifier.SVM_RBF, "intercept", lambda a: a * np.inf),
        (Classifier.NEIGHBOURS, "labels", lambda a: a + 5),
        (Classifier.NEIGHBOURS, "neighbours", lambda a: a + 10**6),
        (Classifier.FOREST, "left", lambda a: np.where(a > 0, 0, a)),
        (Classifier.FOREST, "right", lambda a: a + 10**6),
        (Classifier.FOREST, "feature", lambda a: a - 1),
        (Classifier.FOREST, "roots", lambda a: a[:0]),
        (Classifier.FOREST, "value", lambda a: a[:, :1]),
    ],
)
def test_models_whose_arrays_do_not_fit(data, classifier, name, wrong):
    _, hidden, owners, _ = data
    model = train(rows(hidden[::3]), owners[::3], ABOUT, classifier, 80)
    with np.errstate(invalid="ignore"):
        parts = {**model.parts, name: wrong(model.parts[name])}
    with pytest.raises(MalformedError):
        Model(classifier, ABOUT, 5, model.trained_on, parts)
    with pytest.raises(MalformedError):
        Model(classifier, ABOUT, 5, model.trained_on, {k: v for k, v in model.parts.items() if k != name})


# -- bad input -----------------------------------------------------------------------------------------


def test_one_class():
    images = np.zeros((4, 64), np.uint8)
    with pytest.raises(UsageError, match="only one class"):
        train(images, np.zeros(4, np.int64), ABOUT, Classifier.SVM_LINEAR, 20)
    with pytest.raises(UsageError, match="gap"):
        train(images, np.array([0, 0, 2, 2]), ABOUT, Classifier.SVM_LINEAR, 20)
    about = Images("etc-grey-8", 8, 8, Condition.EACH, (KEY.key_id,))
    with pytest.raises(UsageError, match="one key"):
        train(images, np.array([0, 0, 1, 1]), about, Classifier.SVM_LINEAR, 20)
    with pytest.raises(UsageError, match="ratio"):
        train(images, np.array([0, 0, 1, 1]), ABOUT, Classifier.SVM_LINEAR, 65)


def test_a_model_of_another_key_or_size():
    ABOUT.require("etc-grey-8", 48, 40, KEY.key_id)
    with pytest.raises(ParamsMismatchError, match="40 × 48"):
        ABOUT.require("etc-grey-8", 40, 48, KEY.key_id)
    with pytest.raises(ParamsMismatchError):
        ABOUT.require("etc-grey-16", 48, 40, KEY.key_id)
    with pytest.raises(KeyMismatchError, match="one common key"):
        ABOUT.require("etc-grey-8", 48, 40, "0" * 32)


def test_the_encryptor_takes_images_only():
    images = people(1, 3, 24, 16)[0]
    made = EtcEncryptor(KEY).fit(images)
    assert (made.inverse_transform(made.transform(images)) == images).all()
    for wrong in (images.astype(float), images[0], images[:0], images[:, :, :, None]):
        with pytest.raises((ImageError, BlindsightError)):
            EtcEncryptor(KEY).fit(wrong)
    with pytest.raises(ImageError, match="another size"):
        made.transform(images[:, :16])
    with pytest.raises(ImageError):
        made.inverse_transform(rows(images)[:, 1:])
    with pytest.raises(ImageTooSmallError):
        EtcEncryptor(KEY).fit(images[:, :4])
    with pytest.raises(UsageError):
        EtcEncryptor(b"key").fit(images)
    colour = people(1, 2, 32, 32, colour=True)[0]
    assert EtcEncryptor().fit(colour).params_ == Params.colour()
