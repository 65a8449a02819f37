"""What a thread can learn of where and when it runs: clocks, SM, warp; and a place among its warp's notes.

Under numba's simulator, which has neither clocks nor warps, the same five functions stand in: a counter for
the clocks, the block's number for the SM, and every lane by itself.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numba import cuda
from numba.core import config

#: Whether kernels run in numba's simulator instead of on a GPU.
SIMULATED = bool(config.ENABLE_CUDASIM)

#: The simulator's SMs, the step of its timer in ns, and its clock's cycles a count.
SIMULATED_SMS = 4
_TICK_NS = 32
_CYCLES = 17
_NS = 10

if SIMULATED:
    _counter = itertools.count(1)

    @cuda.jit(device=True)
    def timer_ns() -> Any:
        """Nanoseconds of one clock that all SMs share; it moves in steps."""
        return next(_counter) * _NS // _TICK_NS * _TICK_NS

    @cuda.jit(device=True)
    def cycles() -> Any:
        """Cycles of this SM's own clock."""
        return next(_counter) * _CYCLES

    @cuda.jit(device=True)
    def sm_number() -> Any:
        """Tell the SM that this thread runs on."""
        return cuda.blockIdx.x % SIMULATED_SMS

    @cuda.jit(device=True)
    def warp_number() -> Any:
        """Tell the warp slot of the SM that this thread's warp has."""
        return cuda.threadIdx.x // 32

    @cuda.jit(device=True)
    def claim(ring: Any, cursor: Any, sector: Any) -> Any:
        """Take the next place of a ring; each lane for itself."""
        return cuda.atomic.add(ring, cursor, 1)

else:
    from llvmlite import ir
    from numba.cuda import types
    from numba.cuda.extending import intrinsic

    def _reads(register: str, bits: int) -> Any:
        """Make a device function that reads one of PTX's special registers."""
        letter = {32: "r", 64: "l"}[bits]

        @intrinsic
        def read(typing_context: Any) -> Any:
            def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                shape = ir.FunctionType(ir.IntType(bits), [])
                code = ir.InlineAsm(shape, f"mov.u{bits} $0, %{register};", f"={letter}", side_effect=True)
                return builder.call(code, [])

            return (types.int32 if bits == 32 else types.int64)(), emit

        return read

    timer_ns = _reads("globaltimer", 64)
    cycles = _reads("clock64", 64)
    sm_number = _reads("smid", 32)
    warp_number = _reads("warpid", 32)

    @cuda.jit(device=True)
    def claim(ring: Any, cursor: Any, sector: Any) -> Any:
        """Take a place of a ring for each distinct sector among the warp's active lanes.

        One atomic addition a warp. The lowest lane of each sector gets the place; the others get -1.
        """
        active = cuda.activemask()
        same = cuda.match_any_sync(active, np.int64(sector))
        lane = np.int32(cuda.laneid)
        leads = np.int32(cuda.ffs(same)) - np.int32(1) == lane
        leaders = cuda.ballot_sync(active, leads)
        first = np.int32(cuda.ffs(leaders)) - np.int32(1)
        base = np.int64(0)
        if lane == first:
            base = cuda.atomic.add(ring, cursor, np.int64(cuda.popc(leaders)))
        base = cuda.shfl_sync(active, base, first)
        if not leads:
            return np.int64(-1)
        return base + np.int64(cuda.popc(leaders & cuda.lanemask_lt()))
