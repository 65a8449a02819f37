"""The types kernels are compiled for, and the cache they are kept in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import traces
from smmucore import engine, kernel, translate
from smmucore.spaces import linux
from traces import events as ev

from .tools import RW, Row, events

REPOSITORY = Path(__file__).resolve().parents[2]

#: A run small enough to be nothing but the loading of its kernels: three accesses, one of which faults.
TINY_RUN = """
from smmucore.clients import CLIENTS
from smmucore.costs import profile
from smmucore.hardware import PRESETS
from smmucore.kernel import CACHE_DIR, cache_counts
from smmucore.policies import POLICIES
from smmucore.simulate import Lane, Premapped, Requester, Setup, simulate
from smmucore.spaces import linux

setup = Setup(
    POLICIES["P8"], CLIENTS["none"], PRESETS["mmu500"], profile(), [Requester(1, 0)], linux(39),
    lanes=[Lane(0, 3, gap=1000)], premapped=[Premapped(0, 0, 8192, 1 << 20, 3)],
)
outcome = simulate(setup, [])
"""


def python(code: str, *, at: Path = REPOSITORY, **environment: str) -> str:
    """Run `code` in a fresh interpreter that imports from `at`; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=at,
        env={**os.environ, "PYTHONPATH": str(at), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def warmed() -> dict[str, Any]:
    """The tiny run, in this process: after it the cache folder holds every kernel that it needs."""
    namespace: dict[str, Any] = {}
    exec(TINY_RUN, namespace)
    return namespace


# --- Types

#: Arguments that hold an address, a tag or a translation.
ADDRESSES = frozenset({"iova", "va", "pa", "ipa", "leaf", "key"})


def typed_kernels(entries: list[Any]) -> dict[tuple[str, Any], Any]:
    """Infer the types of every kernel that `entries` reach, for the arguments that they are called with.

    A kernel that was loaded from the cache brings no signatures of the kernels that it calls, so the
    first half of numba's pipeline runs again, without generating code.
    """
    from numba.core import compiler, errors, ir, registry, types
    from numba.core.typed_passes import NopythonTypeInference

    class TypesOnly(compiler.CompilerBase):  # type: ignore[misc]
        def define_pipelines(self) -> list[Any]:
            passes = compiler.DefaultPassBuilder.define_untyped_pipeline(self.state)
            passes.add_pass(NopythonTypeInference, "types")
            passes.finalize()
            self.state.cr = None  # there will be none
            return [passes]

    target = registry.cpu_target
    target.typing_context.refresh()
    target.target_context.refresh()
    found: dict[tuple[str, Any], Any] = {}
    waiting = [
        (kernel, signature.args) for kernel in entries for signature in kernel.entry.nopython_signatures
    ]
    while waiting:
        dispatcher, arguments = waiting.pop()
        name = f"{dispatcher.py_func.__module__}.{dispatcher.py_func.__name__}"
        if (name, arguments) in found:
            continue
        flags = compiler.Flags()
        flags.nrt = True
        flags.error_model = "numpy"
        pipeline = TypesOnly(target.typing_context, target.target_context, None, arguments, None, flags, {})
        try:
            pipeline.compile_extra(dispatcher.py_func)
        except errors.CompilerError:
            assert pipeline.state.typemap is not None, name
        found[name, arguments] = pipeline.state
        for call, signature in pipeline.state.calltypes.items():
            if isinstance(call, ir.Expr) and call.op == "call":
                callee = pipeline.state.typemap[call.func.name]
                if isinstance(callee, types.Dispatcher):
                    waiting.append((callee.dispatcher, signature.args))
    return found


@pytest.fixture(scope="module")
def typed(warmed: dict[str, Any]) -> dict[tuple[str, Any], Any]:
    translator = translate.Translator.empty(linux(39))
    translator.feed(events([Row(ev.MAP, 0x1000, prot=RW), Row(ev.READ, 0x1000)]))
    return typed_kernels([translate.run, engine.run])


def test_the_kernels_of_translation_are_all_reached(typed: dict[tuple[str, Any], Any]) -> None:
    names = {name for name, _ in typed}
    wanted = {
        "walk": ["walk", "walk_linux_4k"],
        "leaf": ["output_address"],
        "mmu": ["look_up", "walk_and_fill"],
        "invalidate": ["invalidate"],
        "tlb": ["find", "insert", "drop", "drop_range", "page_key"],
        "pagetable": ["map_range", "unmap_range", "map_leaf"],
        "memory": ["new_table", "word_index"],
    }
    for module, functions in wanted.items():
        for function in functions:
            assert f"smmucore.{module}.{function}" in names


#: Modules whose kernels compute with addresses.
TRANSLATION = frozenset(
    {"walk", "lpae", "stage2", "short", "short_map", "mmu", "tlb", "memory", "pagetable", "regime"}
)


def test_every_kernel_takes_addresses_tags_and_translations_as_uint64(
    typed: dict[tuple[str, Any], Any],
) -> None:
    from numba.core import types

    seen = 0
    for (name, arguments), state in typed.items():
        code = state.func_id.func.__code__
        for argument, its_type in zip(code.co_varnames[: code.co_argcount], arguments, strict=True):
            # A walk starts at a table; elsewhere a start is a time.
            if argument in ADDRESSES or (name, argument) == ("smmucore.lpae.descend", "start"):
                kept = getattr(its_type, "dtype", its_type)
                assert kept == types.uint64, f"{name}({argument}: {its_type})"
                seen += 1
    assert seen > 30


def test_no_variable_of_a_translation_kernel_and_no_answer_of_any_kernel_is_a_float(
    typed: dict[tuple[str, Any], Any],
) -> None:
    # int64 and uint64 in one expression make a float64, which loses the low bits of an address.
    for (name, _), state in typed.items():
        assert "float" not in str(state.return_type), name
        if name.split(".")[1] in TRANSLATION:
            floats = [variable for variable, its_type in state.typemap.items() if "float" in str(its_type)]
            assert not floats, f"{name}: {floats}"


def test_what_was_compiled_in_this_process_returns_no_float(typed: dict[tuple[str, Any], Any]) -> None:
    signatures = [
        (name, signature)
        for name, compiled in kernel.KERNELS.items()
        for signature in (*compiled.nopython_signatures, *compiled.entry.nopython_signatures)
    ]
    assert len(signatures) > 20
    for name, signature in signatures:
        assert "float" not in str(signature.return_type), name


# --- The cache


def test_the_traces_that_tests_import_is_the_package_and_not_the_folder_of_its_tests() -> None:
    assert Path(traces.__file__ or "") == REPOSITORY / "traces" / "__init__.py"


def test_a_second_process_compiles_nothing(warmed: dict[str, Any]) -> None:
    show = "import json; print(json.dumps([cache_counts(), str(CACHE_DIR), outcome.counters]))"
    printed = python(TINY_RUN + show)
    (hits, misses), folder, counters = json.loads(printed)
    assert folder == str(kernel.CACHE_DIR)
    assert misses == 0
    assert hits > 0
    assert counters == warmed["outcome"].counters
    assert (counters["accesses"], counters["terminated"]) == (3, 1)
    assert kernel.is_warm()


def test_the_cache_folder_is_where_the_environment_says_and_named_by_the_sources(tmp_path: Path) -> None:
    code = (
        "from smmucore.kernel import CACHE_DIR, is_warm; import numba;"
        "print(CACHE_DIR, numba.config.CACHE_DIR, is_warm())"
    )
    ours, numbas, warm = python(code, SMMUBENCH_CACHE_DIR=str(tmp_path)).split()
    assert ours == numbas == str(tmp_path / kernel.source_hash())
    assert warm == "False"
    elsewhere = python(code, SMMUBENCH_CACHE_DIR="", XDG_CACHE_HOME=str(tmp_path / "x")).split()[0]
    assert elsewhere == str(tmp_path / "x" / "smmubench" / "kernels" / kernel.source_hash())


HASHES = """
import json
from pathlib import Path
from smmucore.kernel import source_hash

assert Path("smmucore/kernel.py").samefile(__import__("smmucore.kernel").kernel.__file__)
hashes = {"": source_hash()}
for path in sorted([*Path("smmucore").glob("*.py"), *Path("traces").glob("*.py")]):
    whole = path.read_bytes()
    path.write_bytes(whole + b"\\n")
    hashes[str(path)] = source_hash()
    path.write_bytes(whole)
hashes["again"] = source_hash()
print(json.dumps(hashes))
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the sources, to be edited."""
    for package in ("smmucore", "traces"):
        shutil.copytree(
            REPOSITORY / package,
            tmp_path / package,
            ignore=lambda folder, names: [n for n in names if n[-3:] != ".py"],
        )
    return tmp_path


def test_an_edit_of_any_source_that_a_kernel_can_reach_gives_another_cache_folder(sources: Path) -> None:
    hashes = json.loads(python(HASHES, at=sources))
    unchanged = hashes.pop("")
    assert hashes.pop("again") == unchanged == kernel.source_hash()
    inside = {
        name: h for name, h in hashes.items() if name.startswith("smmucore") or name == "traces/events.py"
    }
    outside = {name: h for name, h in hashes.items() if name not in inside}
    assert len(inside) > 20 and outside
    assert unchanged not in inside.values()
    assert len(set(inside.values())) == len(inside)
    assert set(outside.values()) == {unchanged}, "a reader's edit costs no compilation"


def test_a_new_source_gives_another_cache_folder(sources: Path) -> None:
    (sources / "smmucore" / "new_rule.py").write_text("RULE = 1\n")
    printed = python("from smmucore.kernel import source_hash; print(source_hash())", at=sources)
    assert printed.strip() != kernel.source_hash()


def test_with_the_compiler_off_a_kernel_is_the_function_itself() -> None:
    code = (
        "from smmucore import kernel, walk; print(kernel.jit_disabled(), type(walk.walk_linux_4k).__name__)"
    )
    assert python(code, NUMBA_DISABLE_JIT="1").split() == ["True", "function"]
    assert python(code, NUMBA_DISABLE_JIT="0").split()[0] == "False"
