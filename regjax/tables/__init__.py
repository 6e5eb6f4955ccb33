"""Tables: from a file or a data frame to a matrix of features and a response.

Reading, encoding and refusing happen here, before any training. Numbers and booleans are
taken as they are; a text column with two values becomes one 0/1 column, one with more
becomes a 0/1 column per value, named `column=value`. Missing values, infinities, dates, formatted
numbers and columns that look like identifiers are refused by name; `ReadOptions` say what they are.
A model keeps the types of its columns, so that a new row is read the same whatever is beside it.
"""

import regjax

try:
    from regjax.tables._columns import TableError
    from regjax.tables.encoding import Encoding, Task
    from regjax.tables.frames import as_frame, is_frame
    from regjax.tables.options import ReadOptions
    from regjax.tables.parquet import ParquetStream, encoded_batches, open_parquet
    from regjax.tables.read import read_cells, read_table
    from regjax.tables.table import Table, encode_table, table_from_arrays
except ModuleNotFoundError as error:
    raise regjax._missing_extra(__name__, error) from error

__all__ = [
    "Encoding",
    "ParquetStream",
    "ReadOptions",
    "Table",
    "TableError",
    "Task",
    "as_frame",
    "encode_table",
    "encoded_batches",
    "is_frame",
    "open_parquet",
    "read_cells",
    "read_table",
    "table_from_arrays",
]
