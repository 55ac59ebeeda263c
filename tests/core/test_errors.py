"""Every error has a code of its own, and every code finds its error."""

import inspect

import pytest

from blindsight.core import errors

ALL = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.BlindsightError) and cls.__module__ == errors.__name__
]


def test_there_are_errors():
    assert len(ALL) > 25


def test_codes_are_unique_and_declared_by_the_class_itself():
    assert all("code" in vars(cls) for cls in ALL)
    assert len({cls.code for cls in ALL}) == len(ALL)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.code)
def test_by_code(cls):
    assert errors.by_code(cls.code) is cls
    assert cls.code == cls.code.lower()
    assert cls.code.replace("-", "").isalpha()


@pytest.mark.parametrize("code", ["", "no-such-code", "Error", "KEY-MISMATCH"])
def test_an_unknown_code_is_the_counterparts_fault(code):
    assert errors.by_code(code) is errors.ProtocolError


def test_an_error_of_another_room_is_found_too():
    class NewError(errors.VaultError):
        """Made up."""

        code = "made-up-for-this-test"

    assert errors.by_code("made-up-for-this-test") is NewError


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.code)
def test_a_message_is_kept(cls):
    error = cls("Do this instead.")
    assert error.message == str(error) == "Do this instead."
    assert isinstance(error, errors.BlindsightError)
    assert cls.__doc__


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("RollbackError", "TamperedError"),
        ("TamperedError", "ProtocolError"),
        ("KeyMismatchError", "MismatchError"),
        ("ParamsMismatchError", "MismatchError"),
        ("DimensionError", "VectorError"),
        ("InsecureParametersError", "ParameterError"),
        ("InaccurateParametersError", "ParameterError"),
    ],
)
def test_kinds(narrow, wide):
    assert issubclass(getattr(errors, narrow), getattr(errors, wide))


def test_tampering_is_not_mistaken_for_a_mismatch_or_bad_usage():
    assert not issubclass(errors.TamperedError, (errors.MismatchError, errors.UsageError))
