"""Records mean the same with the compiler on and off."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from smmucore import costs, counters, hardware, pagetable, records, translate


@pytest.mark.parametrize("module", [records, counters, hardware, costs, pagetable, translate])
def test_no_field_is_hidden_by_an_attribute_of_numpys_record(module: ModuleType) -> None:
    # With NUMBA_DISABLE_JIT=1, row.dump would be numpy's method and not the field.
    kinds = {name: kind for name, kind in vars(module).items() if isinstance(kind, np.dtype) and kind.names}
    assert kinds
    hidden = [
        f"{name}.{field}"
        for name, kind in kinds.items()
        for field in kind.names or ()
        if hasattr(np.record, field)
    ]
    assert not hidden
