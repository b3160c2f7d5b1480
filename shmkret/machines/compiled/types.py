"""What the text's arguments are in compiled code: columns, records, and a Kernel.

Words     a section is a bare pointer (RecordsType), a column of it another with a constant stride (WordsType): no shape, no
          reference count, no wrap-around of negative indices, and a Kernel is small enough to be passed on at little cost of
          compiling. They are built inside the loop, from the arena's addresses, and never leave it.
"""

from __future__ import annotations

import hashlib
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, lower_builtin, lower_getattr_generic, models, register_model, type_callable

from shmkret.arena import records as layout
from shmkret.kernel.mode import with_mode

NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

INLINE = {"forceinline": True, **NO_WRAPPERS}

OUTLINE = {"forceinline": False, **NO_WRAPPERS}

I32 = ir.IntType(32)

I64 = ir.IntType(64)


class WordsType(types.Type):  # type: ignore[misc]
    """`Words` in compiled code: a pointer to the word of record 0, records `stride` bytes apart.

    The column's name is part of the type: LLVM is told that words of two columns are never the same word (TBAA).
    """

    def __init__(self, stride: int, column: str) -> None:
        self.stride = stride
        self.column = column
        super().__init__(name=f"Words({column}, {stride})")


@register_model(WordsType)
class _WordsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, words: WordsType) -> None:
        super().__init__(manager, words, cgutils.voidptr_t)


class RecordsType(types.Type):  # type: ignore[misc]
    """The records of a section in compiled code: one pointer; an attribute is a column. Dispatched on `instance_class`."""

    def __init__(self, instance_class: type, stride: int) -> None:
        self.instance_class = instance_class
        self.stride = stride
        super().__init__(name=f"{instance_class.__module__}.{instance_class.__name__}({id(instance_class)}, {stride})")


@register_model(RecordsType)
class _RecordsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, records: RecordsType) -> None:
        super().__init__(manager, records, cgutils.voidptr_t)


@infer_getattr
class _RecordsAttributes(AttributeTemplate):  # type: ignore[misc]
    key = RecordsType

    def generic_resolve(self, records: RecordsType, field: str) -> Any:
        record_class: Any = records.instance_class
        if field in record_class._fields:
            return WordsType(records.stride, f"{record_class.__name__}.{field}")
        return None


@lower_getattr_generic(RecordsType)
def _column(context: Any, builder: Any, records: RecordsType, value: Any, field: str) -> Any:
    fields: Any = layout.fields_of(records.instance_class)
    return cgutils.pointer_add(builder, value, I64(8 * fields.index(field)))


class KernelType(types.Type):  # type: ignore[misc]
    """A Kernel in compiled code: one LLVM value, so that passing it on is one argument and not one a field."""

    def __init__(self, field_types: tuple[Any, ...]) -> None:
        self.field_types = dict(zip(layout.Kernel._fields, field_types, strict=True))
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
    return builder.extract_value(value, layout.Kernel._fields.index(field))


@intrinsic
def make_kernel(typing: Any, fields: Any) -> Any:
    """A Kernel of the tuple of its fields."""
    result = KernelType(tuple(types.unliteral(field_type) for field_type in fields))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kernel = ir.Constant(context.get_value_type(result), ir.Undefined)
        for i, part in enumerate(cgutils.unpack_tuple(builder, args[0], len(fields))):
            kernel = builder.insert_value(kernel, part, i)
        return kernel

    return result(fields), generate


@type_callable(with_mode)
def _type_with_mode(context):  # type: ignore[no-untyped-def]
    def typed(k, mode):  # type: ignore[no-untyped-def]
        return KernelType(tuple({**k.field_types, "mode": mode}.values())) if isinstance(k, KernelType) else None

    return typed


@lower_builtin(with_mode, KernelType, types.Any)
def _with_mode(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    kernel = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
    for i, field in enumerate(layout.Kernel._fields):
        part = args[1] if field == "mode" else builder.extract_value(args[0], i)
        kernel = builder.insert_value(kernel, part, i)
    return kernel


@intrinsic(prefer_literal=True)
def bind(typing: Any, record: Any, stride: Any, address: Any) -> Any:
    """The records of a class at an address: field j of record i at address + i * `stride` (a constant) + 8 * j."""
    result = RecordsType(record.instance_class, stride.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[2], cgutils.voidptr_t)

    return result(record, stride, types.int64), generate
