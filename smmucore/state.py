"""Compiled code's view of a run's state: one address, whatever it holds.

A named tuple of arrays is handed to a kernel by value: seven words for each array, 145 for a run, copied at
every call and compiled into every kernel.  A `State` is handed over as the address of a table of its arrays'
addresses and lengths.  Kernels read ``sim.slots`` as they would in plain Python, and that is what they do
when numba's compiler is off.

A class lists its fields with :func:`array`, :func:`record` and :func:`part`; their types are fixed, so a
kernel that takes a state is compiled once, and found in the cache by the next process.
"""

from __future__ import annotations

from ctypes import addressof, c_char
from typing import Any, ClassVar, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np import numpy_support

ARRAY, RECORD, PART = "array", "record", "part"
WORD = ir.IntType(64)


class Field(NamedTuple):
    """How one field lies in the table: an address, and for an array its shape."""

    kind: str
    of: Any  # dtype, or the class of a part
    ndim: int

    @property
    def words(self) -> int:
        """Words of the table."""
        return 1 + self.ndim


def array(dtype: Any, ndim: int = 1) -> Any:
    """Declare a C-contiguous array of `dtype`; of records, it reads as a record array."""
    return Field(ARRAY, np.dtype(dtype), ndim)


def record(dtype: Any) -> Any:
    """Declare one record, the first of an array of one or a record itself."""
    return Field(RECORD, np.dtype(dtype), 0)


def part(cls: type[State]) -> Any:
    """Declare another state."""
    return Field(PART, cls, 0)


def _address(value: Any) -> int:
    """Return where an array lies: `ctypes.data`, in a third of its time."""
    if value.size and value.flags.writeable:
        return addressof(c_char.from_buffer(value))
    return int(value.ctypes.data)


class State:
    """Base of the states; see the module.  Fields are set once, in their order or by name.

    Raises
    ------
    TypeError
        A field is missing, unknown, or not what was declared.
    """

    fields: ClassVar[dict[str, Field]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Field)}
        cls.fields = {**cls.fields, **own}
        for name in own:
            delattr(cls, name)

    def __init__(self, *ordered: Any, **named: Any) -> None:
        given = len(ordered) + len(named)
        if ordered:
            named = {**dict(zip(self.fields, ordered, strict=False)), **named}
        if given != len(self.fields) or named.keys() != self.fields.keys():
            wrong = sorted(named.keys() ^ self.fields.keys())
            raise TypeError(
                f"{type(self).__name__}: expected every field once, found wrong {', '.join(wrong)}"
            )
        table: list[int] = []
        own = vars(self)
        for name, field in self.fields.items():
            value = named[name]
            if field.kind == ARRAY:
                value = self._checked(name, field, value)
                table.append(_address(value))
                table += value.shape
            elif field.kind == PART:
                if type(value) is not field.of:
                    raise TypeError(f"{name}: expected a {field.of.__name__}, found {type(value).__name__}")
                table.append(value.address)
            else:
                if not isinstance(value, np.record) or value.dtype != field.of:
                    raise TypeError(f"{name}: expected a record of the declared dtype, found {value!r:.80}")
                table.append(_address(np.asarray(value)))  # a view
            own[name] = value
        self._table = np.array(table, np.int64)
        self.address = int(self._table.ctypes.data)

    @staticmethod
    def _checked(name: str, field: Field, value: Any) -> Any:
        if not isinstance(value, np.ndarray) or value.dtype != field.of or value.ndim != field.ndim:
            raise TypeError(f"{name}: expected {field.of} of {field.ndim} dimensions, found {value!r:.80}")
        flags = value.flags
        if not flags.c_contiguous or not flags.aligned:
            raise TypeError(f"{name}: expected a contiguous, aligned array")
        # A record array has one type for every view, and names its fields when the compiler is off.
        return value.view(np.recarray) if type(value) is not np.recarray and field.of.names else value

    def replaced(self, **changes: Any) -> Any:
        """Return the same state with some fields changed."""
        return type(self)(**{name: changes.get(name, getattr(self, name)) for name in self.fields})

    def copied(self) -> Any:
        """Return a deep copy."""
        return type(self)(
            **{
                name: getattr(self, name).copied() if field.kind == PART else getattr(self, name).copy()
                for name, field in self.fields.items()
            }
        )


class StateType(types.Type):
    """numba's type of a `State` class."""

    def __init__(self, cls: type[State]) -> None:
        self.cls = cls
        super().__init__(name=f"{cls.__module__}.{cls.__qualname__}")


@register_model(StateType)
class StateModel(models.PrimitiveModel):
    """In compiled code a state is a pointer to its table."""

    def __init__(self, manager: Any, kind: StateType) -> None:
        super().__init__(manager, kind, WORD.as_pointer())


#: One type object for each class: numba compares them at every call.
_TYPES: dict[type[State], StateType] = {}


@typeof_impl.register(State)
def _typeof(value: State, _context: Any) -> StateType:
    cls = type(value)
    if cls not in _TYPES:
        _TYPES[cls] = StateType(cls)
    return _TYPES[cls]


@unbox(StateType)
def _unbox(_kind: StateType, value: Any, c: Any) -> NativeValue:
    address = c.pyapi.object_getattr_string(value, "address")
    word = c.pyapi.long_as_longlong(address)
    c.pyapi.decref(address)
    return NativeValue(c.builder.inttoptr(word, WORD.as_pointer()))


def _type_of(field: Field) -> Any:
    if field.kind == PART:
        return StateType(field.of)
    inner = numpy_support.from_dtype(field.of)
    return inner if field.kind == RECORD else types.Array(inner, field.ndim, "C", aligned=True)


@infer_getattr
class _StateAttributes(AttributeTemplate):
    key = StateType

    def generic_resolve(self, kind: StateType, name: str) -> Any:
        field = kind.cls.fields.get(name)
        return None if field is None else _type_of(field)


@lower_getattr_generic(StateType)
def _getattr(context: Any, builder: Any, kind: StateType, table: Any, name: str) -> Any:
    at = 0
    for other, field in kind.cls.fields.items():
        if other == name:
            break
        at += field.words
    words = [
        builder.load(builder.gep(table, [ir.Constant(WORD, at + k)], inbounds=True))
        for k in range(field.words)
    ]
    result = _type_of(field)
    if field.kind != ARRAY:
        return builder.inttoptr(words[0], context.get_value_type(result))
    made = context.make_array(result)(context, builder)
    size = context.get_abi_sizeof(context.get_data_type(result.dtype))
    shape = words[1:]
    strides = [ir.Constant(WORD, size)]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    items = shape[0]
    for length in shape[1:]:
        items = builder.mul(items, length)
    context.populate_array(
        made,
        data=builder.inttoptr(words[0], made.data.type),
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=ir.Constant(WORD, size),
        meminfo=None,
    )
    return made._getvalue()
