"""What every page is put together from: markup, formulas, parts, style and scripts."""

from depthscale._report.page.assemble import Part, figure, gathered, joined, section, sheet
from depthscale._report.page.claims import claims
from depthscale._report.page.columns import notes, readout, rms, table_of
from depthscale._report.page.document import asset, document
from depthscale._report.page.html import (
    Html,
    bullets,
    contents,
    headline,
    join,
    link,
    paragraphs,
    table,
    tag,
)
from depthscale._report.page.mathml import formula
from depthscale._report.page.provenance import (
    again,
    flags,
    options,
    provenance,
    reproduced,
    trace_provenance,
)

__all__ = [
    "Html",
    "Part",
    "again",
    "asset",
    "bullets",
    "claims",
    "contents",
    "document",
    "figure",
    "flags",
    "formula",
    "gathered",
    "headline",
    "join",
    "joined",
    "link",
    "notes",
    "options",
    "paragraphs",
    "provenance",
    "readout",
    "reproduced",
    "rms",
    "section",
    "sheet",
    "table",
    "table_of",
    "tag",
    "trace_provenance",
]
