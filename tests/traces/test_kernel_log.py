"""Fault lines of a kernel log: every layout, wrapped and interleaved, and what is torn."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from bench.fault_decode import decode
from bench.fault_eras import ERAS
from smmucore.policies import POLICIES
from tests.bench.fault_samples import ARM, LINES, QCOM, SAMPLES, numbered, stamped
from traces.kernel_log import scan
from traces.kernel_log.layouts import LAYOUTS

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SMMUBENCH_SHARED") or REPOSITORY.parent / "shared")
REAL = SHARED / "captures" / "kernel-logs" / "faults.jsonl"
NAMES = {"arm-smmu-ctx": "context", "arm-smmu-global": "global", "smmuv3-event": "event"}
V48 = "Unhandled context fault: fsr=0x402, iova=0x7aaa35c0, fsynr=0x11, cb=1"


def only(text):
    log = scan(numbered(text))
    assert log.malformed == ()
    (fault,) = log.faults
    return fault


@pytest.mark.parametrize(("layout", "text", "wanted"), SAMPLES, ids=[s[0] for s in SAMPLES])
def test_a_sample_of_each_layout_is_one_fault_with_its_values(layout, text, wanted):
    fault = only(text)
    assert fault.layout == layout
    assert {name: getattr(fault, name) for name in wanted} == wanted


def test_every_layout_has_a_sample_an_era_and_policies_of_the_catalogue():
    assert {layout for layout, _, _ in SAMPLES} == set(LAYOUTS) == set(ERAS)
    assert {key for era in ERAS.values() for key in era.policies} <= set(POLICIES)


@pytest.mark.parametrize(("layout", "text", "_"), SAMPLES, ids=[s[0] for s in SAMPLES])
def test_the_decode_equals_what_the_kernel_printed(layout, text, _):
    assert decode(only(text)).disagrees == ()


def test_all_samples_in_one_log_are_told_apart():
    log = scan(numbered("\n".join(LINES)))
    assert log.malformed == ()
    assert Counter(f.layout for f in log.faults) == Counter(layout for layout, _, _ in SAMPLES)


def test_a_wrong_printed_decode_is_seen():
    fault = only(
        stamped(
            ARM + "Unhandled context fault: fsr=0x402, iova=0x1000, fsynr=0x3, cbfrsynra=0x8, cb=4",
            ARM + "FSR    = 00000402 [Format=2 PF], SID=0x8",
            ARM + "FSYNR0 = 00000003 [S1CBNDX=0 WNR PLVL=3]",
        )
    )
    assert decode(fault).disagrees == (
        "FSR: printed Format=2 PF, decoded Format=2 TF",
        "FSYNR0: printed PLVL=3 S1CBNDX=0 WNR, decoded PLVL=3 S1CBNDX=0",
    )


PREFIXES = {
    "dmesg": ("[   12.500000] ", 12_500_000_000, "boot"),
    "dmesg with caller": ("[   12.500000][    C0] ", 12_500_000_000, "boot"),
    "dmesg -x": ("kern  :err   : [   12.500000] ", 12_500_000_000, "boot"),
    "dmesg -d": ("[   12.500000 <    0.000010>] ", 12_500_000_000, "boot"),
    "dmesg -r": ("<3>[   12.500000] ", 12_500_000_000, "boot"),
    "dmesg --color": ("\x1b[32m[   12.500000] \x1b[0m\x1b[33m", 12_500_000_000, "boot"),
    "dmesg -H": ("[  +0.000250] ", 250_000, "delta"),
    "dmesg -H, first of a minute": ("[May24 14:33] ", 0, "delta"),
    "dmesg -T": ("[Sat Jan  1 00:00:05 2000] ", 946_684_805_000_000_000, "wall"),
    "dmesg --time-format=iso": ("2000-01-01T00:00:05,250000+00:00 ", 946_684_805_250_000_000, "wall"),
    "journalctl": ("Jan 01 00:00:05 board kernel: ", 946_684_805_000_000_000, "wall"),
    "journalctl -o short-precise": (
        "Jan 01 00:00:05.250000 board kernel: ",
        946_684_805_250_000_000,
        "wall",
    ),
    "journalctl -o short-iso": ("2000-01-01T01:00:05+0100 board kernel: ", 946_684_805_000_000_000, "wall"),
    "journalctl -o short-monotonic": ("[   12.500000] board kernel: ", 12_500_000_000, "boot"),
    "journalctl -o short-unix": ("946684805.250000 board kernel: ", 946_684_805_250_000_000, "wall"),
    "syslog": ("Jan  1 00:00:05 board kernel: [   12.500000] ", 12_500_000_000, "boot"),
    "rsyslog": ("2000-01-01T00:00:05.123456+02:00 board kernel: [   12.500000] ", 12_500_000_000, "boot"),
    "RFC 5424": ("<3>1 2000-01-01T00:00:05.250000Z board kernel - - - ", 946_684_805_250_000_000, "wall"),
    "logcat": ("01-01 00:00:05.250     0     0 E ", 946_684_805_250_000_000, "wall"),
    "minicom": ("[2000-01-01 00:00:05.250] [   12.500000] ", 12_500_000_000, "boot"),
    "grabserial": ("[3.250000 0.000100] [   12.500000] ", 12_500_000_000, "boot"),
    "a laboratory's": ("2000-01-01 00:00:05 R SERIAL> [   12.500000] ", 12_500_000_000, "boot"),
    "a debugger's": ("0x000000000277BBFA |   12.500000:   ", 12_500_000_000, "boot"),
    "mail": ("> > [   12.500000] ", 12_500_000_000, "boot"),
    "nothing": ("", None, ""),
}


@pytest.mark.parametrize(("prefix", "ns", "clock"), PREFIXES.values(), ids=list(PREFIXES))
def test_what_stands_before_a_message_is_read(prefix, ns, clock):
    fault = only(f"{prefix}{ARM}{V48}\r\n")
    assert (fault.time_ns, fault.clock, fault.iova) == (ns, clock, 0x7AAA_35C0)
    assert (fault.driver, fault.device) == ("arm-smmu", "2c00000.iommu")


def test_a_clock_that_starts_again_is_another_boot():
    text = stamped(ARM + V48, start=900.0) + stamped(ARM + V48, start=2.0)
    assert [(f.boot, f.time_ns) for f in scan(numbered(text)).faults] == [
        (0, 900_000_000_000),
        (1, 2_000_000_000),
    ]


@pytest.mark.parametrize("cut", range(len(ARM) + 25, len(ARM) + len(V48) - 4))
def test_a_line_wrapped_anywhere_in_its_values_is_put_together(cut):
    line = ARM + V48
    fault = only(f"[   12.500000] {line[:cut]}\n{line[cut:]}\n[   13.000000] usb 1-1: new device")
    assert (fault.fsr, fault.iova, fault.fsynr0, fault.cb) == (0x402, 0x7AAA_35C0, 0x11, 1)
    assert (fault.lines, fault.flags) == ((1, 2), ("joined",))


def test_a_line_wrapped_twice_by_a_mail_is_put_together_past_a_line_of_another():
    text = (
        f"> [    7.836573] {ARM}Unhandled context\n"
        "> fault: fsr=0x402, iova=0x7aaa35c0,\n"
        "> [    7.836600] usb 1-1: new device\n"
        "> fsynr=0x11, cb=1\n"
    )
    fault = only(text)
    assert (fault.iova, fault.cb, fault.lines) == (0x7AAA_35C0, 1, (1, 2, 4))


def test_a_bank_that_may_go_on_in_the_next_line_is_not_guessed():
    log = scan(numbered(f"[   12.500000] {ARM}{V48}\n3\n"))
    assert log.faults == ()
    assert [(bad.line, bad.what) for bad in log.malformed] == [
        (1, "a number that may go on in the next line")
    ]


def test_dumps_of_two_devices_that_are_mixed_up_are_told_apart():
    one = next(s for s in SAMPLES if s[0] == "qcom-downstream-5.10")[1].splitlines()
    two = [line.replace("6600000", "7700000").replace("512345000", "9abcde000") for line in one]
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    log = scan(numbered("\n".join(mixed)))
    assert log.malformed == ()
    assert [(f.device, f.iova, len(f.lines)) for f in log.faults] == [
        ("6600000.apps-smmu", 0x5_1234_5000, 16),
        ("7700000.apps-smmu", 0x9_ABCD_E000, 16),
    ]


def test_two_banks_of_one_smmu_that_print_at_once_are_told_apart_by_their_values():
    heads = [
        ARM + f"Unhandled context fault: fsr=0x{fsr}, iova=0x1000, fsynr=0x{syn}, cbfrsynra=0x8, cb={cb}"
        for fsr, syn, cb in (("402", "1", 1), ("408", "13", 2))
    ]
    text = stamped(
        *heads,
        ARM + "FSR    = 00000402 [Format=2 TF], SID=0x8",
        ARM + "FSR    = 00000408 [Format=2 PF], SID=0x8",
        ARM + "FSYNR0 = 00000001 [S1CBNDX=0 PLVL=1]",
        ARM + "FSYNR0 = 00000013 [S1CBNDX=0 WNR PLVL=3]",
    )
    log = scan(numbered(text))
    assert log.malformed == ()
    assert [(f.cb, f.lines) for f in log.faults] == [(1, (1, 3, 5)), (2, (2, 4, 6))]


TORN = {
    "a value is missing": (ARM + "Unhandled context fault: fsr=0x402, fsynr=0x11, cb=1", "a torn line"),
    "not a number": (
        ARM + "Unhandled context fault: fsr=0x4z2, iova=0x1000, fsynr=0x11, cb=1",
        "a torn line",
    ),
    "an FSR of 36 bits": (
        ARM + "Unhandled context fault: fsr=0x402402402, iova=0x1000, fsynr=0x11, cb=1",
        "a torn line",
    ),
    "an IOVA of 68 bits": (
        ARM + "Unhandled context fault: fsr=0x402, iova=0x10000000000001000, fsynr=0x11, cb=1",
        "a torn line",
    ),
    "more behind it": (ARM + V48 + " and so on", "a torn line"),
    "a bank that no SMMU has": (
        ARM + "Unhandled context fault: fsr=0x402, iova=0x1000, fsynr=0x11, cb=200",
        "a context bank that no SMMU has",
    ),
    "a GPU's line": ("*** gpu fault: ttbr0=0000000101ad5000 iova=00000 dir=WRITE", "a torn line"),
    "a part alone": (
        ARM + "FSYNR0 = 007c0020 [S1CBNDX=124 PNU PLVL=0]",
        "part of a fault without its first line",
    ),
    "a dump's rest": (QCOM + "FAR    = 0x0000000512345000", "part of a fault without its first line"),
    "an unexpected FSR": (ARM + "Unexpected context fault (fsr 0x402a00)", "an FSR that this line cannot"),
}


@pytest.mark.parametrize(("line", "what"), TORN.values(), ids=list(TORN))
def test_a_line_that_is_torn_is_reported_and_gives_no_fault(line, what):
    log = scan([(41, f"[   12.500000] {line}"), *[(k, "[   12.600000] other") for k in range(42, 60)]])
    assert log.faults == ()
    (bad,) = log.malformed
    assert bad.line == 41
    assert bad.what.startswith(what)
    assert bad.expected
    assert bad.found


def test_an_fsr_in_a_base_that_the_line_does_not_tell_is_left_open():
    # 0x484 and decimal 484 (0x1e4) both are FSRs that the line can be about.
    fault = only(stamped(ARM + "Unexpected context fault (fsr 0x484)"))
    assert (fault.fsr, fault.flags) == (None, ("base",))
    # v3.11 prints FSR.SS | FSR.ASF | TF = 0x40000082 as 0x1073741954, which is no 32-bit number in hex.
    assert only(stamped(ARM + "Unexpected context fault (fsr 0x1073741954)")).fsr == 0x4000_0082


def test_an_event_that_contradicts_its_words_is_reported():
    text = next(s for s in SAMPLES if s[0] == "smmuv3-event-pretty")[1]
    log = scan(numbered(text.replace("iova: 0xfffff040", "iova: 0xfffff080")))
    assert log.faults == ()
    assert log.malformed[0].what in (
        "an event that contradicts itself",
        "a line that contradicts the fault it follows",
    )


def test_what_was_suppressed_and_what_timed_out_is_kept():
    text = stamped(
        "arm_smmu_context_fault: 812 callbacks suppressed",
        "net_ratelimit: 9 callbacks suppressed",
        ARM + "TLB sync timed out -- SMMU may be deadlocked",
        'irq 31: nobody cared (try booting with the "irqpoll" option)',
        "Disabling IRQ #31",
    )
    log = scan(numbered(text))
    assert [(s.function, s.count, s.line) for s in log.suppressed] == [("arm_smmu_context_fault", 812, 1)]
    assert [note.kind for note in log.notes] == ["tlb-sync-timeout", "nobody-cared", "irq-disabled"]


def test_lines_of_others_that_look_alike_are_left_alone():
    text = stamped(
        "BUG: unable to handle page fault for address: ffffc90000a1",
        "do_page_fault: page fault at 0x1000",
        "usb 1-1: event 0x10 received: no",
        "input event: nothing client: x",
        "pgtable-fault-info:",
        "Unhandled context faults are fatal on this domain. Going down now...",
    )
    log = scan(numbered(text))
    assert (log.faults, log.malformed) == ((), ())


@pytest.mark.shared
@pytest.mark.skipif(not REAL.exists(), reason="captures/kernel-logs/faults.jsonl is not here")
def test_every_real_line_gives_the_fields_and_the_decode_that_were_read_from_it():
    records = [json.loads(line) for line in REAL.read_text().splitlines()]
    kernels_own = 0
    for number, record in enumerate(records, start=1):
        log = scan([(number, record["line"])])
        (fault,) = log.faults
        assert log.malformed == ()
        assert fault.kind == NAMES.get(record["kind"], "gpu")
        own = {"fsynr": fault.fsynr0, "cbfrsynra": fault.sid, **fault.said}
        for name, value in record["fields"].items():
            found = getattr(fault, name) if hasattr(fault, name) else own[name]
            assert (int(found, 16) if name == "source" and isinstance(value, int) else found) == value
        printed = record.get("kernel_decode", {})
        if "FSR" in printed:
            lines = [record["line"], f"{fault.driver} {fault.device}: FSR    = {printed['FSR']}"]
            if "FSYNR0" in printed:
                lines.append(f"{fault.driver} {fault.device}: FSYNR0 = {printed['FSYNR0']}")
            whole = scan(list(enumerate(lines)))
            assert whole.malformed == ()
            assert decode(whole.faults[0]).disagrees == ()
            assert whole.faults[0].said["fsr_words"]
            kernels_own += 1
    assert (len(records), kernels_own) >= (65, 8)
