"""The linear layer with a codebook per row: packed codes, a table of 2^bits values, a few weights kept beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from methods._codebook import Codebook, lookup
from methods._packing import pack, packed_columns, unpack
from methods._sparse import Sparse, add_sparse, column_type
from methods._stored import StoredLinear, dtype_name


class LutLinear(StoredLinear):
    """A linear layer stored as ``table[row, code]``, plus a sparse remainder (see ``_codebook`` and ``_sparse``).

    Buffers: ``codes`` uint8 ``(out, packed in)``; ``table`` ``(out, 2^bits)``; ``values`` and ``columns`` ``(kept,)``
    and ``counts`` ``(out,)``, absent when nothing is kept; ``bias`` ``(out,)`` or absent.
    """

    KIND: ClassVar[str] = "lut"
    PARTS: ClassVar[Mapping[str, str]] = {
        "codes": "codes",
        "table": "side",
        "values": "side",
        "columns": "side",
        "counts": "side",
        "bias": "rest",
    }
    """Buffer -> the part of the footprint it is weighed in. A bias is no product of compression."""

    codes: Tensor
    table: Tensor
    values: Tensor | None
    columns: Tensor | None
    counts: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bits: int,
        kept: int = 0,
        bias: bool = False,
        table: str = "float16",
        values: str = "float16",
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.bits, self.kept = in_features, out_features, bits, kept
        self.register_buffer("codes", torch.empty(out_features, packed_columns(in_features, bits), dtype=torch.uint8))
        self.register_buffer("table", torch.empty(out_features, 2**bits, dtype=getattr(torch, table)))
        self.register_buffer("values", torch.empty(kept, dtype=getattr(torch, values)) if kept else None)
        self.register_buffer("columns", torch.empty(kept, dtype=column_type(in_features)) if kept else None)
        self.register_buffer("counts", torch.empty(out_features, dtype=torch.int32) if kept else None)
        self.register_buffer("bias", torch.empty(out_features) if bias else None)

    @classmethod
    def from_codebook(
        cls, book: Codebook, bits: int, sparse: Sparse | None = None, bias: Tensor | None = None
    ) -> LutLinear:
        """Pack what is already clustered. ``sparse`` is what is *added* to the table's values at its places."""
        rows, columns = book.codes.shape
        sparse = sparse if sparse is not None and len(sparse.values) else None
        with torch.device("meta"):
            kept, types = (len(sparse.values), dtype_name(sparse.values.dtype)) if sparse else (0, "float16")
            layer = cls(columns, rows, bits, kept, bias is not None, dtype_name(book.table.dtype), types)
        layer.codes, layer.table = pack(book.codes, bits), book.table
        if sparse:
            layer.values, layer.columns, layer.counts = sparse
        layer.bias = None if bias is None else bias.detach().clone()
        return layer

    def spec(self) -> dict[str, Any]:
        return super().spec() | {
            "bits": self.bits,
            "kept": self.kept,
            "table": dtype_name(self.table.dtype),
            "values": "float16" if self.values is None else dtype_name(self.values.dtype),
        }

    def dequantize(self) -> Tensor:
        """float32 ``(out, in)``."""
        dense = lookup(unpack(self.codes, self.bits, self.in_features), self.table)
        if self.values is None or self.columns is None or self.counts is None:
            return dense
        return add_sparse(dense, Sparse(self.values, self.columns, self.counts))

    def extra_repr(self) -> str:
        return f"in={self.in_features}, out={self.out_features}, bits={self.bits}, kept={self.kept}"
