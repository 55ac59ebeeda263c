"""Rows of RGB pixels in vector registers: to one word a pixel, and back in another order of the channels.

Left to itself the compiler turns such loops into gathers and scatters, which are slower than single
bytes; a shuffle of bytes that are loaded together is what processors are good at.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
"""Channel orders by their code: channel k of the result is channel ``ORDERS[code][k]``."""

_I8, _I32 = ir.IntType(8), ir.IntType(32)


def _shuffled(builder: Any, vector: Any, picks: list[int]) -> Any:
    mask = ir.Constant(ir.VectorType(_I32, len(picks)), picks)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, None), mask)


def _spread(width: int) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source = builder.bitcast(args[0], ir.VectorType(_I8, 3 * width).as_pointer())
        target = builder.bitcast(args[1], ir.VectorType(_I8, 4 * width).as_pointer())
        # The fourth byte may be anything; the blue one costs nothing.
        picks = [3 * pixel + min(k, 2) for pixel in range(width) for k in range(4)]
        builder.store(_shuffled(builder, builder.load(source, align=1), picks), target, align=4)
        return context.get_dummy_value()

    @intrinsic
    def spread(typing: Any, source: Any, target: Any) -> Any:
        """``width`` pixels of three bytes from ``source`` as 32-bit words to ``target``."""
        return types.void(types.CPointer(types.uint8), types.CPointer(types.uint32)), emit

    return spread


def _pack(width: int) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide, narrow = ir.VectorType(_I8, 4 * width), ir.VectorType(_I8, 3 * width)
        words = builder.load(builder.bitcast(args[0], wide.as_pointer()), align=4)
        target = builder.bitcast(args[1], narrow.as_pointer())
        one = builder.insert_element(ir.Constant(narrow, None), args[3], _I32(0))
        mask = builder.shuffle_vector(
            one, one, ir.Constant(ir.VectorType(_I32, 3 * width), [0] * (3 * width))
        )
        # A case for each order, and once more for rows that are written from right to left.
        ways = [(order, range(width)[::step]) for step in (1, -1) for order in ORDERS]
        cases = [builder.append_basic_block(f"way{number}") for number in range(len(ways))]
        after = builder.append_basic_block("after")
        choice = builder.switch(args[2], cases[0])
        for number, ((order, row), case) in enumerate(zip(ways, cases, strict=True)):
            if number:
                choice.add_case(ir.Constant(args[2].type, number), case)
            builder.position_at_end(case)
            packed = _shuffled(builder, words, [4 * pixel + k for pixel in row for k in order])
            builder.store(builder.xor(packed, mask), target, align=1)
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    @intrinsic
    def pack(typing: Any, source: Any, target: Any, way: Any, mask: Any) -> Any:
        """``width`` words of ``source`` to ``target``, xor ``mask``.

        Channels are in the order ``way``; ways from 6 on are the same orders, the row mirrored.
        """
        pointers = types.CPointer(types.uint32), types.CPointer(types.uint8)
        return types.void(*pointers, types.int64, types.uint8), emit

    return pack


def _transpose(width: int) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row = ir.VectorType(_I32, width)

        def place(pointer: Any, number: int) -> Any:
            return builder.bitcast(builder.gep(pointer, [_I32(number * width)]), row.as_pointer())

        rows = [builder.load(place(args[0], number), align=4) for number in range(width)]
        step = width // 2
        while step:  # exchange the off-diagonal quarters, then theirs, and so on
            for low in (number for number in range(width) if not number & step):
                one, two = rows[low], rows[low | step]
                upper = [width + (k ^ step) if k & step else k for k in range(width)]
                lower = [width + k if k & step else k | step for k in range(width)]
                for number, picks in ((low, upper), (low | step, lower)):
                    mask = ir.Constant(ir.VectorType(_I32, width), picks)
                    rows[number] = builder.shuffle_vector(one, two, mask)
            step //= 2
        for number, made in enumerate(rows):
            builder.store(made, place(args[1], number), align=4)
        return context.get_dummy_value()

    @intrinsic
    def transpose(typing: Any, source: Any, target: Any) -> Any:
        """A square of ``width`` × ``width`` words, transposed."""
        return types.void(types.CPointer(types.uint32), types.CPointer(types.uint32)), emit

    return transpose


@intrinsic
def _prefetch(typing: Any, place: Any) -> Any:
    """Have the cache line at ``place`` brought near; nothing else happens."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = ir.PointerType(_I8)
        kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
        call = builder.module.declare_intrinsic("llvm.prefetch.p0i8", fnty=kind)
        builder.call(call, [builder.bitcast(args[0], pointer), _I32(0), _I32(3), _I32(1)])
        return context.get_dummy_value()

    return types.void(types.CPointer(types.uint8)), emit


prefetch: Any = _prefetch
spread_8: Any = _spread(8)
spread_16: Any = _spread(16)
pack_8: Any = _pack(8)
pack_16: Any = _pack(16)
transpose_8: Any = _transpose(8)
transpose_16: Any = _transpose(16)
