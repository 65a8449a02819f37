"""The words of a step: every step can be written, and what is written reads back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.policy_files import from_text, to_words
from bench.words import CODES, CONDITIONS, WORDS, WordError, read_step, spell, spell_step
from smmucore import steps
from smmucore.policies import POLICIES
from smmucore.registers import FSR_FAULT, FSR_SS


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_of_the_catalogue_reads_back_from_its_words(policy):
    made = from_text(to_words(POLICIES[policy]), policy)
    assert made == POLICIES[policy]


def test_every_operation_of_the_model_has_a_word():
    shown = [
        steps.read("FSR"), steps.read("FAR"), steps.read("FSYNR0"), steps.read("SCTLR"),
        *steps.client_reads("FSR", "CP_SCRATCH7"),
        steps.check(FSR_FAULT | FSR_SS, "fault bits | SS"), steps.report(), steps.log(3),
        steps.log(1, site=1), steps.write_fsr(), steps.write_fsr("all"),
        steps.resume(steps.BY_RETURN, steps.EAGAIN),
        *steps.cfie(on=False), *steps.cfie(on=True), steps.lock(), steps.unlock(), steps.wake(),
        *steps.sctlr_clear("CFCFG", "HUPCF"), steps.irq_off(), steps.irq_on(),
        steps.capture(), steps.map_page(), steps.done(), steps.done(steps.IRQ_NONE),
    ]  # fmt: skip
    assert [read_step(line) for line in spell(shown)] == shown


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("READ FAR", steps.read("FAR")),
        ("READ  FAR", steps.read("FAR")),
        ("CHECK SS|fault", steps.check(FSR_FAULT | FSR_SS, "fault bits | SS")),
        ("CHECK TF|PF", steps.check(1 << 1 | 1 << 3, "TF | PF")),
        ("LOG 3 if returned -ENOSYS", steps.log(3, steps.returned(steps.ENOSYS))),
        ("WRITE FSR read if returned 0 or -ENOSYS", steps.write_fsr().when_also(0b11)),
        ("RETURN NONE if returned anything but 0", steps.done(steps.IRQ_NONE, 0b111110)),
        ("LOCK if SS and not dumping", steps.lock().when_also(steps.IF_SS | steps.IF_NO_DUMP)),
        ("WRITE RESUME terminate", steps.resume(steps.BY_TERMINATE)),
        ("WRITE RESUME mapped", steps.resume(steps.BY_MAPPED)),
    ],
)
def test_a_line_is_the_step_that_the_constructor_makes(line, step):
    assert read_step(line) == step


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("RAED FAR", "unknown step: here: expected one of READ REGISTER, CHECK BITS, REPORT"),
        ("", "unknown step"),
        ("READFAR", "unknown step"),
        ("REPORT twice", "expected REPORT alone, found 'REPORT twice'"),
        ("READ FXR", "unknown register: here: expected READ with one of SCTLR,"),
        ("READ RESUME", "unknown register"),
        ("READ", "unknown register"),
        ("CHECK faults", "unknown bit of FSR: here: expected CHECK with one of fault, TF,"),
        ("WRITE RESUME return:-EIO", "return:-EAGAIN"),
        ("LOG 0", "1 to 255 lines"),
        ("LOCK if stalled", "unknown condition: here: expected one of SS, not SS, dumping, not dumping,"),
        ("LOCK if", "unknown condition"),
        ("LOCK if SS and", "unknown condition"),
        ("LOCK if returned EAGAIN", "unknown code: here: expected one of 0, -ENOSYS, -EAGAIN,"),
        ("LOCK if returned 0 and returned -ENOSYS", "two return codes"),
        (f"LOCK if returned anything but {' or '.join(CODES)}", "a condition that never holds"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_says_what_was_expected(line, says):
    with pytest.raises(WordError) as caught:
        read_step(line)
    assert says in str(caught.value.at("here"))


_CONDITIONS = st.lists(st.sampled_from([c.text for c in CONDITIONS]), unique=True)
_CODES = st.lists(st.sampled_from(list(CODES)), unique=True, max_size=5).map(" or ".join)
_LINES = [
    line
    for policy in POLICIES.values()
    for part in (policy.handler, policy.client_resume)
    for line in spell(part)
]


@given(st.sampled_from(_LINES), _CONDITIONS, _CODES, st.booleans())
def test_any_condition_reads_back(line, conditions, codes, negated):
    words = [*conditions, *([f"returned {'anything but ' if negated else ''}{codes}"] if codes else [])]
    what = line.partition(" if ")[0]
    step = read_step(f"{what} if {' and '.join(words)}" if words else what)
    assert read_step(spell_step(step)) == step


@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from([w.verb for w in WORDS] + ["if", "SS", "or"])).map(" ".join)
)
def test_no_line_breaks_the_reader(line):
    try:
        assert read_step(spell_step(read_step(line))) == read_step(line)
    except WordError as error:
        assert isinstance(error.at("x"), UsageError)
