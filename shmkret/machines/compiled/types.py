"""What the text's arguments are in compiled code: columns, records, and a Kernel.

Words     a section is a bare pointer (RecordsType), a column of it another with a constant stride (WordsType): no shape, no
          reference count, no wrap-around of negative indices, and a Kernel is small enough to be passed on at little cost of
          compiling. They are built inside the loop, from the arena's addresses, and never leave it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, lower_getattr_generic, models, overload, register_model

from shmkret.arena.fields import fields_of
from shmkret.arena.records import Kernel, Mode, with_mode
from shmkret.arena.shape import Column, Group, Number, Records, Shape, numbers_of

NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

INLINE = {"forceinline": True, **NO_WRAPPERS}

OUTLINE = {"forceinline": False, **NO_WRAPPERS}

I32 = ir.IntType(32)

I64 = ir.IntType(64)


class WordsType(types.Type):  # type: ignore[misc]
    """`Words` in compiled code: a pointer to the word of record 0, records `stride` bytes apart.

    The column's name is part of the type: LLVM is told that words of two columns are never the same word (TBAA). watched: every
    access is a call (shmkret.machines.compiled.watched), so that a search decides what comes next.
    """

    def __init__(self, stride: int, column: str, *, watched: bool = False) -> None:
        self.stride = stride
        self.column = column
        self.watched = watched
        super().__init__(name=f"{'Watched' if watched else ''}Words({column}, {stride})")


def pointer_to(context: Any, builder: Any, words: WordsType, first: Any, i: Any, of: Any) -> Any:
    """The pointer to word i, an integer of Numba's type `of`, of a column that begins at `first`."""
    i = context.cast(builder, i, of, types.int64)
    place = cgutils.pointer_add(builder, first, builder.mul(i, I64(words.stride)))
    return builder.bitcast(place, I64.as_pointer())


@register_model(WordsType)
class _WordsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, words: WordsType) -> None:
        super().__init__(manager, words, cgutils.voidptr_t)


class RecordsType(types.Type):  # type: ignore[misc]
    """The records of a section in compiled code: one pointer; an attribute is a column. Dispatched on `instance_class`."""

    def __init__(self, instance_class: type, stride: int, *, watched: bool = False) -> None:
        self.instance_class = instance_class
        self.stride = stride
        self.watched = watched
        name = f"{instance_class.__module__}.{instance_class.__name__}({id(instance_class)}, {stride})"
        super().__init__(name=f"{'Watched' if watched else ''}{name}")


@register_model(RecordsType)
class _RecordsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, records: RecordsType) -> None:
        super().__init__(manager, records, cgutils.voidptr_t)


@infer_getattr
class _RecordsAttributes(AttributeTemplate):  # type: ignore[misc]
    key = RecordsType

    def generic_resolve(self, records: RecordsType, field: str) -> Any:
        record_class: Any = records.instance_class
        if field in fields_of(record_class):
            return WordsType(records.stride, f"{record_class.__name__}.{field}", watched=records.watched)
        return None


@lower_getattr_generic(RecordsType)
def _column(context: Any, builder: Any, records: RecordsType, value: Any, field: str) -> Any:
    fields: Any = fields_of(records.instance_class)
    return cgutils.pointer_add(builder, value, I64(8 * fields.index(field)))


class KernelType(types.Type):  # type: ignore[misc]
    """A Kernel in compiled code: one LLVM value, so that passing it on is one argument and not one a field."""

    def __init__(self, field_types: tuple[Any, ...]) -> None:
        self.field_types = dict(zip(Kernel._fields, field_types, strict=True))
        self._key = field_types
        # Classes that are made at run time have names of their own: all of a type is in its name.
        digest = hashlib.sha256(repr([str(field_type) for field_type in field_types]).encode()).hexdigest()[:16]
        super().__init__(name=f"Kernel({digest})")

    @property
    def key(self) -> Any:
        """What makes two such types the same: the very classes, not only their names."""
        return self._key


@register_model(KernelType)
class _KernelModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kernel: KernelType) -> None:
        parts = [manager[field_type].get_value_type() for field_type in kernel.field_types.values()]
        super().__init__(manager, kernel, ir.LiteralStructType(parts))


@infer_getattr
class _KernelAttributes(AttributeTemplate):  # type: ignore[misc]
    key = KernelType

    def generic_resolve(self, kernel: KernelType, field: str) -> Any:
        return kernel.field_types.get(field)


@lower_getattr_generic(KernelType)
def _field(context: Any, builder: Any, kernel: KernelType, value: Any, field: str) -> Any:
    return builder.extract_value(value, Kernel._fields.index(field))


def type_of(shape: Shape, strides: Mapping[str, int], *, watched: bool = False) -> Any:
    """What a part of a Kernel is in compiled code."""
    if isinstance(shape, Records):
        return RecordsType(shape.record, strides[shape.section], watched=watched)
    if isinstance(shape, Column):
        return WordsType(strides[shape.section], f"{shape.record.__name__}.{shape.field}", watched=watched)
    if isinstance(shape, Group):
        parts = tuple(type_of(part, strides, watched=watched) for part in shape.parts)
        return KernelType(parts) if shape.record is Kernel else types.BaseTuple.from_types(parts, shape.record)
    return types.int64


def kernel_maker(shape: Group, strides: Mapping[str, int], *, watched: bool = False) -> Any:
    """An intrinsic that makes the Kernel of what World.parameters() has written: `make(address of the parameters)`."""
    result = type_of(shape, strides, watched=watched)
    places = {name: j for j, name in enumerate((*strides, *numbers_of(shape)))}

    @intrinsic
    def make(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            first = builder.inttoptr(args[0], I64.as_pointer())

            def parameter(name: str) -> Any:
                return builder.load(builder.gep(first, [I64(places[name])]))

            return _build(context, builder, result, shape, parameter)

        return result(types.int64), generate

    return make


def _build(context: Any, builder: Any, whole: Any, shape: Shape, parameter: Callable[[str], Any]) -> Any:
    if isinstance(shape, Records):
        return builder.inttoptr(parameter(shape.section), cgutils.voidptr_t)
    if isinstance(shape, Column):
        offset = 8 * fields_of(shape.record).index(shape.field)
        return builder.inttoptr(builder.add(parameter(shape.section), I64(offset)), cgutils.voidptr_t)
    if isinstance(shape, Number):
        return parameter(shape.name)
    if not isinstance(shape, Group):
        return I64(0)
    of = whole.field_types.values() if isinstance(whole, KernelType) else whole.types
    parts = [_build(context, builder, one, part, parameter) for one, part in zip(of, shape.parts, strict=True)]
    if not isinstance(whole, KernelType):
        return context.make_tuple(builder, whole, parts)
    kernel = ir.Constant(context.get_value_type(whole), ir.Undefined)
    for i, part in enumerate(parts):
        kernel = builder.insert_value(kernel, part, i)
    return kernel


def is_left_out(value: Any) -> bool:
    """Whether an argument of a function of the text was not given."""
    return isinstance(value, types.Omitted | types.NoneType)


@intrinsic
def _with_mode(typing: Any, k: Any, changes: Any) -> Any:
    """The Kernel `k` with those parts of its mode that are given; `changes` is in the order of Mode's first fields."""
    before = k.field_types["mode"]
    given = {i: change for i, change in enumerate(changes) if not is_left_out(change)}
    mode = types.BaseTuple.from_types(tuple(given.get(i, part) for i, part in enumerate(before)), Mode)
    result = KernelType(tuple({**k.field_types, "mode": mode}.values()))
    place = Kernel._fields.index("mode")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        old, new = builder.extract_value(args[0], place), args[1]
        parts = [builder.extract_value(new if i in given else old, i) for i in range(len(before))]
        kernel = ir.Constant(context.get_value_type(result), ir.Undefined)
        for i in range(len(Kernel._fields)):
            part = context.make_tuple(builder, mode, parts) if i == place else builder.extract_value(args[0], i)
            kernel = builder.insert_value(kernel, part, i)
        return kernel

    return result(k, changes), generate


@overload(with_mode, jit_options=INLINE, strict=False)
def _taught_with_mode(k: Any, context: Any = None, irq: Any = None, primitives: Any = None) -> Any:
    return lambda k, context=None, irq=None, primitives=None: _with_mode(k, (context, irq, primitives))


@intrinsic(prefer_literal=True)
def bind(typing: Any, record: Any, stride: Any, address: Any) -> Any:
    """The records of a class at an address: field j of record i at address + i * `stride` (a constant) + 8 * j."""
    result = RecordsType(record.instance_class, stride.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[2], cgutils.voidptr_t)

    return result(record, stride, types.int64), generate
