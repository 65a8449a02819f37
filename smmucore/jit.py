"""How a kernel is compiled: as a part of the kernels that call it, and by itself only if Python calls it.

numba makes every compiled function a library of its own: it links in all that the function calls, optimises
the whole, and emits machine code; and so again for each of its callers.  Of some 200 kernels most are called
by other kernels only.  Such a *part* is lowered once here, and its code handed on as it is.  Only a kernel
that Python calls (an *entry*) is linked, optimised as a whole, emitted, and kept on disk.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numba
from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import InlineOverloads, NativeLowering, NativeParforLowering, NopythonRewrites
from numba.core.types.misc import unliteral
from numba.core.untyped_passes import DeadBranchPrune, InlineClosureLikes, LiteralUnroll, WithLifting


class PartLibrary(JITCodeLibrary):
    """Code that is not finished: what it calls is linked where it is linked."""

    def finalize(self) -> None:
        """Do nothing: no optimisation, no machine code."""
        self._raise_if_finalized()
        self._finalized = True

    def _optimize_functions(self, module: Any) -> None:
        """Do nothing: the entry that it becomes a part of optimises the whole."""

    def needs(self) -> list[Any]:
        """Return this library and all that it calls, each once."""
        return list(dict.fromkeys([self, *self._linking_libraries]))


@register_pass(mutates_CFG=True, analysis_only=False)
class PartLowering(NativeLowering):
    """Lower a part, without what Python would call it through, and tell callers what to link."""

    _name = "part_lowering"

    def run_pass(self, state: Any) -> bool:
        """Carry the pass out."""
        state.library = PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_cpython_wrapper = True
        state.flags.no_cfunc_wrapper = True
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        # Callers look the code up by this function, which is never called: see `Kernel.__call__`.
        name = state.func_id.func_name
        stands_for = _dynfunc.make_function(
            lowered.fndesc.lookup_module(), name, "a part", 0, lowered.env, (state.library,)
        )
        state.targetctx.insert_user_function(stands_for, lowered.fndesc, state.library.needs())
        state["cr"] = lowered._replace(cfunc=stands_for)
        return True


#: Steps that look for what no kernel has: `with`, comprehensions, optional arguments, array expressions.
UNUSED = (WithLifting, InlineClosureLikes, DeadBranchPrune, LiteralUnroll, InlineOverloads, NopythonRewrites)


class PartCompiler(CompilerBase):
    """numba's own pipeline, but for the last step."""

    def define_pipelines(self) -> list[Any]:
        """Return the one pipeline."""
        return [_with_last_step(self.state, PartLowering)]


class EntryLibrary(JITCodeLibrary):
    """Code that is finished, optimised once: numba's first, cheaper round is for counting references."""

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager()
        with self._recorded_timings.record("Module passes (full optimization)", builder):
            passes.run(self._final_module, builder)


@register_pass(mutates_CFG=True, analysis_only=False)
class EntryLowering(NativeLowering):
    """Lower an entry into a library of the kind above."""

    _name = "entry_lowering"

    def run_pass(self, state: Any) -> bool:
        """Carry the pass out."""
        state.library = EntryLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep Python's collector out of a compilation: it would look for cycles again and again, in vain.

    That was a sixth of the time.  What it would have freed is freed afterwards.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class EntryCompiler(CompilerBase):
    """numba's own pipeline, but for the library."""

    def compile_extra(self, func: Any) -> Any:
        """Compile an entry, and its parts with it."""
        with _nothing_collected():
            return super().compile_extra(func)

    def define_pipelines(self) -> list[Any]:
        """Return the one pipeline."""
        return [_with_last_step(self.state, EntryLowering)]


def _with_last_step(state: Any, last: Any) -> Any:
    passes = DefaultPassBuilder.define_nopython_pipeline(state)
    passes.passes = [
        (last if step in (NativeLowering, NativeParforLowering) else step, why)
        for step, why in passes.passes
        if step not in UNUSED
    ]
    passes._finalized = False
    passes.finalize()
    return passes


class Kernel(CPUDispatcher):
    """A compiled function: other kernels take it as a part, Python calls its entry."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        super().__init__(
            py_func=function,
            locals={},
            targetoptions={**options, "nopython": True},
            pipeline_class=PartCompiler,
        )
        self._options = options

    @cached_property
    def entry(self) -> Any:
        """The same function, as Python calls it."""
        options = {**self._options, "no_cfunc_wrapper": True}
        return numba.njit(cache=True, pipeline_class=EntryCompiler, **options)(self.py_func)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Take a literal as what it is one of: otherwise each would have a compilation of its own."""
        return super().get_call_template(tuple(unliteral(kind) for kind in args), kws)

    def __call__(self, *arguments: Any) -> Any:
        """Run the entry."""
        return self.entry(*arguments)
