"""The inner loop of everything here: 32-bit products summed in 64 bits, many at a time.

``multiply_accumulate(...)`` adds ``a[i, k] * b[i, k]`` over ``i`` for several rows ``a``
against several rows ``b``, the sums held in vector registers from the first product to the
last. A loop written in Numba keeps them in memory instead, which costs a factor of two when
the data stream from RAM; hence the few lines of LLVM, in generic vectors that lower to
whatever the processor has.

Sums wrap modulo 2^64; the callers bound their operands so that they never do.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

TILE = 64
"""Neighbouring positions that are stored together, for all coordinates."""

LANES = 8 if llvm.get_host_cpu_features().get("avx512f", False) else 4
"""64-bit sums in one vector register of this processor."""

BLOCKS = 4
"""Blocks that the inner loops take at a time."""

PROBES = 4 if LANES == 8 else 2
"""Probes that the inner loop for several probes takes at a time."""

STRIP = TILE if LANES == 8 else 8
"""Positions that the inner loop for one probe takes at a time: 32 or 8 registers of sums."""

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_SIGNATURE = types.void(
    types.CPointer(types.int32),
    types.CPointer(types.int64),
    types.CPointer(types.int32),
    types.int64,
    types.int64,
    types.CPointer(types.int64),
)


def _multiply_accumulate(blocks: int, probes: int, vectors: int) -> Any:
    """Build the loop for ``blocks`` rows against ``probes`` rows, ``vectors`` registers wide."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data, offsets, other, stride, count, out = args
        narrow, wide = ir.VectorType(_I32, LANES), ir.VectorType(_I64, LANES)

        def load(pointer: Any, offset: Any) -> Any:
            address = builder.bitcast(builder.gep(pointer, [offset]), narrow.as_pointer())
            return builder.sext(builder.load(address, align=4), wide)

        starts = [builder.load(builder.gep(offsets, [_I64(b)])) for b in range(blocks)]
        before = builder.block
        loop, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.branch(loop)

        builder.position_at_end(loop)
        i = builder.phi(_I64)
        i.add_incoming(_I64(0), before)
        sums = {}
        for key in ((b, p, v) for b in range(blocks) for p in range(probes) for v in range(vectors)):
            sums[key] = builder.phi(wide)
            sums[key].add_incoming(ir.Constant(wide, [0] * LANES), before)
        row = builder.mul(i, _I64(TILE))
        new = {}
        for v in range(vectors):
            here = builder.add(row, _I64(v * LANES))
            rights = [load(other, builder.add(here, builder.mul(stride, _I64(p)))) for p in range(probes)]
            for b in range(blocks):
                left = load(data, builder.add(here, starts[b]))
                for p in range(probes):
                    new[b, p, v] = builder.add(sums[b, p, v], builder.mul(left, rights[p]))
        following = builder.add(i, _I64(1))
        i.add_incoming(following, loop)
        for key, phi in sums.items():
            phi.add_incoming(new[key], loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, done)

        builder.position_at_end(done)
        for (b, p, v), value in new.items():
            place = _I64(((b * probes + p) * vectors + v) * LANES)
            builder.store(value, builder.bitcast(builder.gep(out, [place]), wide.as_pointer()), align=8)
        return context.get_dummy_value()

    @intrinsic
    def multiply_accumulate(
        typing: Any, data: Any, offsets: Any, other: Any, stride: Any, count: Any, out: Any
    ) -> Any:
        """Sum ``data[offsets[b] + 64 i + k] * other[stride p + 64 i + k]`` over i < count.

        Written to ``out`` as int64 (blocks, probes, vectors * LANES); count is at least 1.
        """
        return _SIGNATURE, emit

    return multiply_accumulate


one_probe: Any = _multiply_accumulate(BLOCKS, 1, STRIP // LANES)
"""`BLOCKS` rows against one, `STRIP` positions wide: as fast as memory delivers."""

many_probes: Any = _multiply_accumulate(BLOCKS, PROBES, 1)
"""`BLOCKS` rows against `PROBES`, `LANES` positions wide: each load serves several products."""


@intrinsic
def _address(typing: Any, array: Any, offset: Any) -> Any:
    """Address of the element ``offset`` of a C-contiguous array's memory."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.gep(data, [args[1]])

    return types.CPointer(array.dtype)(array, types.int64), emit


address: Any = _address
"""For compiled code: the address of an element, counted from the start of an array."""
