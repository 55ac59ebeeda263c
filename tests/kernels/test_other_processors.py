"""The inner loops as they are built for processors unlike this one, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from blindsight.kernels import aes
from blindsight.kernels.accumulate import LANES

HERE = Path(__file__).resolve().parent

PROGRAM = """
import sys
import llvmlite.binding as llvm
import pytest

found = llvm.get_host_cpu_features
llvm.get_host_cpu_features = lambda: {"avx512f": sys.argv[1] == "8"}
from blindsight.kernels import accumulate
llvm.get_host_cpu_features = found

assert accumulate.LANES == int(sys.argv[1])
assert accumulate.PROBES == {4: 2, 8: 4}[accumulate.LANES]
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[2]]))
"""


def test_the_loops_of_the_other_vector_width(tmp_path):
    """Four 64-bit lanes where this processor has eight, or the other way about: the same results."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(12 - LANES), str(HERE / "test_ring_kernel.py")],
        cwd=HERE.parent.parent,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout


AES_PROGRAM = """
import sys
import llvmlite.binding as llvm
import pytest

found = llvm.get_host_cpu_features
features = found()
features.update(dict.fromkeys({2: ("vaes",), 0: ("vaes", "aes", "pclmul")}[int(sys.argv[1])], False))
llvm.get_host_cpu_features = lambda: features
from blindsight.kernels import aes
llvm.get_host_cpu_features = found

assert aes.LANES == int(sys.argv[1])
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


AES_TESTS = ["test_dcf_kernel.py", "test_leaves_kernel.py"]


@pytest.mark.parametrize("lanes", [lanes for lanes in (0, 2) if lanes < aes.LANES])
def test_aes_of_lesser_processors(tmp_path, lanes):
    """One block at a time where this processor takes four, and OpenSSL where there is no instruction."""
    done = subprocess.run(
        [sys.executable, "-c", AES_PROGRAM, str(lanes), *(str(HERE / name) for name in AES_TESTS)],
        cwd=HERE.parent.parent,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout
