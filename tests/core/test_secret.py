"""Bytes that must not leave memory by accident."""

import copy
import hashlib
import hmac
import pickle

import pytest

from blindsight.core.errors import UsageError
from blindsight.core.secrets import ExportToken, Secret

VALUE = bytes(range(200, 232))


def test_it_does_not_show():
    shown = f"{Secret(VALUE)!r} {Secret(VALUE)!s} {[Secret(VALUE)]} {Secret(VALUE)}"
    assert "redacted" in shown
    assert VALUE.hex() not in shown
    assert repr(VALUE)[2:-1] not in shown
    with pytest.raises(TypeError):
        vars(Secret(VALUE))


def test_it_is_neither_pickled_nor_copied():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="secret"):
            pickle.dumps(Secret(VALUE), protocol)
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret"):
            duplicate(Secret(VALUE))
    with pytest.raises(TypeError):
        copy.deepcopy({"key": Secret(VALUE)})


def test_it_is_not_hashable_and_not_bytes():
    with pytest.raises(TypeError, match="hashable"):
        hash(Secret(VALUE))
    with pytest.raises(TypeError):
        bytes(Secret(VALUE))


def test_equality():
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(VALUE[::-1])
    assert Secret(VALUE) != Secret(VALUE[:-1])
    assert Secret(VALUE) != VALUE


@pytest.mark.parametrize("token", [None, True, 1, "token", ExportToken, object()])
def test_export_needs_a_token(token):
    with pytest.raises(UsageError, match="export token"):
        Secret(VALUE).export(token)
    assert Secret(VALUE).export(ExportToken()) == VALUE


def test_later_changes_to_the_source_do_not_matter():
    source = bytearray(VALUE)
    secret = Secret(source)
    source[:] = bytes(32)
    assert secret.export(ExportToken()) == VALUE


def test_fresh_secrets():
    values = {Secret.fresh().export(ExportToken()) for _ in range(50)}
    assert len(values) == 50
    assert {len(value) for value in values} == {32}
    assert len(Secret.fresh(16).export(ExportToken())) == 16


def test_derive_is_hmac_of_purpose_zero_context():
    expected = hmac.new(VALUE, b"purpose\x00context", hashlib.sha256).digest()
    assert Secret(VALUE).derive("purpose", b"context") == expected


def test_derivations_are_independent():
    secret = Secret(VALUE)
    inputs = [("a", b""), ("a", b"b"), ("ab", b""), ("", b"ab"), ("b", b"a")]
    outputs = {secret.derive(*pair) for pair in inputs} | {Secret(VALUE[::-1]).derive("a")}
    assert len(outputs) == len(inputs) + 1
    assert VALUE not in outputs
