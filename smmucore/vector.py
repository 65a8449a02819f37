"""What a processor does at once and numba has no word for (design 11).

`bit_length`, and one step of true LRU on a whole set in vector registers: what `smmucore.tlb.find` and
`insert` do way by way.  The entry under a key, or else the last one under its new key, goes to the front
of its set, and those before it move back by one.  LLVM makes of it what the processor has.  With numba's
compiler off plain Python runs in their place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.types.containers import UniTuple
from numba.extending import intrinsic

from smmucore.kernel import jit_disabled

WORD = ir.IntType(64)
SLOTS = 1 << 12


def _plain(ways: int) -> Any:
    def step(words: Any, at: Any, key: Any) -> tuple[Any, Any]:
        first = int(at)
        whole = [int(word) for word in words[first : first + ways]]
        here = [w for w, word in enumerate(whole) if word ^ int(key) < SLOTS]
        taken = here[0] if here else ways - 1
        slot = whole[taken] & (SLOTS - 1)
        words[first + 1 : first + taken + 1] = words[first : first + taken].copy()
        words[first] = key | np.uint64(slot)
        return np.uint64(slot), np.uint64(not here)

    return step


def _vector(ways: int) -> Any:
    vector = ir.VectorType(WORD, ways)
    lanes = ir.IntType(ways)
    row = ir.ArrayType(WORD, ways)
    # For each way: all ones in the lanes behind it, which stay.
    behind = ir.Constant(
        ir.ArrayType(row, ways + 1),
        [
            ir.Constant(row, [(1 << 64) - 1 if lane > way else 0 for lane in range(ways)])
            for way in range(ways + 1)
        ],
    )

    def splat(builder: Any, value: Any) -> Any:
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), ways), [0] * ways)
        return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words, at, key = arguments
        array = context.make_array(signature.args[0])(context, builder, words)
        first = builder.gep(array.data, [at])
        place = builder.bitcast(first, vector.as_pointer())
        whole = builder.load(place, align=8)
        apart = builder.xor(whole, splat(builder, key))
        limit = ir.Constant(vector, [SLOTS] * ways)
        found = builder.zext(builder.bitcast(builder.icmp_unsigned("<", apart, limit), lanes), WORD)
        # The way it is in, or as many as there are; the taken one is that, or the last.
        way = builder.cttz(builder.or_(found, ir.Constant(WORD, 1 << ways)), ir.Constant(ir.IntType(1), 1))
        missed = builder.lshr(way, ir.Constant(WORD, ways.bit_length() - 1))
        word = builder.load(builder.gep(first, [builder.sub(way, missed)]))
        slot = builder.and_(word, ir.Constant(WORD, SLOTS - 1))
        order = ir.Constant(ir.VectorType(ir.IntType(32), ways), [ways, *range(ways - 1)])
        moved = builder.shuffle_vector(whole, splat(builder, builder.or_(key, slot)), order)
        table = cgutils.global_constant(builder, f"smmubench.behind.{ways}", behind)
        mask = builder.load(
            builder.bitcast(builder.gep(table, [ir.Constant(WORD, 0), way]), vector.as_pointer()), align=8
        )
        after = builder.or_(builder.and_(whole, mask), builder.and_(moved, builder.not_(mask)))
        builder.store(after, place, align=8)
        return context.make_tuple(builder, signature.return_type, [slot, missed])

    @intrinsic
    def step(_context: Any, words: Any, _at: Any, _key: Any) -> Any:
        answer = UniTuple(types.uint64, 2)
        return answer(words, types.uint64, types.uint64), generate

    return step


def _step(ways: int) -> Any:
    return _plain(ways) if jit_disabled() else _vector(ways)


#: ``lru_4(words, at, key)``: make a key the most recent of the set whose first way is `at`; return its slot,
#: and 1 if it was not there.
lru_4 = _step(4)
lru_8 = _step(8)


def _plain_bit_length(value: Any) -> int:
    return int(value).bit_length()


@intrinsic
def _counted_bit_length(_context: Any, _value: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(WORD, 64), zeros)

    return types.int64(types.int64), generate


#: ``bit_length(value)``: as many bits as it takes to write an int64 of at least zero.
bit_length = _plain_bit_length if jit_disabled() else _counted_bit_length
