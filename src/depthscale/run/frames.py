"""Records as pandas DataFrames, where pandas is installed."""

from collections.abc import Iterable, Mapping
from typing import Any

from depthscale.errors import MissingPackage


def data_frame(columns: Mapping[str, Any], axis: str) -> Any:
    """Columns of one length as a DataFrame. / axis: what a row is, the index's name. / raises:
    MissingPackage."""
    try:
        import pandas as pd
    except ImportError:
        raise MissingPackage("to_pandas needs pandas; install it: pip install pandas") from None
    return pd.DataFrame(dict(columns)).rename_axis(axis)


def rows_frame(records: Iterable[Any], fields: Iterable[str], axis: str, index: str = "id") -> Any:
    """Records as rows, so many of their attributes as columns. / index: the attribute that tells
    rows apart; raises as above."""
    listed = list(records)
    columns = {name: [getattr(each, name) for each in listed] for name in (index, *fields)}
    return data_frame(columns, axis).set_index(index).rename_axis(axis)
