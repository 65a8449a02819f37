"""Instructions counted one by one: of a loop whose count is known, and of an access."""

from __future__ import annotations

import platform
import subprocess

import pytest

from bench.yardstick import cpp, instructions, traces

pytestmark = [
    pytest.mark.skipif(cpp.compiler() is None, reason=f"needs {cpp.COMPILER}"),
    pytest.mark.skipif(
        (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="needs x86-64 Linux"
    ),
]

#: 250 turns of two instructions, between the signals; 1,000 before them that do not count.
LOOP = """
#include <csignal>
static void turn(int times) { asm volatile("1: dec %0\\n jnz 1b" : "+r"(times)); }
int main() { turn(1000); std::raise(SIGUSR1); turn(250); std::raise(SIGUSR1); turn(1000); }
"""


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    program = tmp_path_factory.mktemp("steps") / "steps"
    subprocess.run([cpp.COMPILER, "-std=c++17", "-O2", cpp.HERE / "steps.cpp", "-o", program], check=True)
    probe = subprocess.run([program, program.parent / "probe", "true"], check=False)
    if probe.returncode:
        pytest.skip("this machine lets nobody trace")
    return program


def test_a_loop_between_the_signals_counts_as_often_as_it_turns(steps, tmp_path):
    (tmp_path / "loop.cpp").write_text(LOOP)
    subprocess.run([cpp.COMPILER, "-O1", "-o", tmp_path / "loop", tmp_path / "loop.cpp"], check=True)
    counts = instructions.stepped(steps, tmp_path / "counts", [tmp_path / "loop"])
    assert sorted(counts.values())[-2:] == [250, 250]
    assert sum(times >= 250 for times in counts.values()) == 2


def test_plain_cpp_takes_more_instructions_for_more_accesses_and_twice_the_same(steps, tmp_path):
    program = cpp.compiled(tmp_path)
    traces.iovas("rand4g", 4096).tofile(tmp_path / "iovas")
    found = [
        instructions.stepped(
            steps, tmp_path / "counts", [program, tmp_path / "iovas", "plain", str(last)]
        ).total()
        for last in (64, 64, 128)
    ]
    assert found[0] == found[1]
    assert found[2] - found[0] > 64 * 20  # a look-up in two TLBs and a walk of up to three reads
