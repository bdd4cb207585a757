"""One look for every chart. / colours: Okabe & Ito 2008, told apart by colour-blind readers too."""

import altair as alt

INK = "#333333"
FAINT = "#666666"
AXIS = "#999999"
GRID = "#DDDDDD"
NETWORK_COLOURS = ["#0072B2", "#D55E00", "#009E73"]
GRADIENT_COLOUR, ACTIVATION_COLOUR = NETWORK_COLOURS[:2]
NEURON_COLOURS = ["#0072B2", "#E69F00", "#CC79A7"]
GUILTY = "#B0413E"
SERIES_COLOURS = [*NETWORK_COLOURS, "#E69F00", "#CC79A7"]
_FONT = "Helvetica, Arial, sans-serif"

# On a page a colour is a variable of its style sheet, so that charts follow light, dark and print
# without being drawn again.
PAGE_COLOURS = {
    "#0072B2": "var(--blue)",
    "#D55E00": "var(--vermilion)",
    "#009E73": "var(--green)",
    # darkened until it stands out from white, orange is vermilion to a colour-blind reader
    "#E69F00": "var(--ochre)",
    "#CC79A7": "var(--purple)",
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    AXIS: "var(--axis)",
    GUILTY: "var(--guilty)",
    GRID: "var(--line)",
}

Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart | alt.VConcatChart


class Rows(alt.Data):
    """Rows that a chart holds, shared by its copies and checked by no schema: altair makes a copy
    for every change of a chart, and both take longer than all else that it does."""

    _class_is_valid_at_instantiation = False

    def __deepcopy__(self, memo: object) -> "Rows":
        return self


def chart_of(rows: list[dict]) -> alt.Chart:
    """Of rows that the chart itself holds."""
    return alt.Chart(Rows(values=rows))


def themed(chart: Chart, title: str, caption: str) -> Chart:
    """The chart with its title, a line that says how to read it, and the house's type and
    background."""
    heading = alt.TitleParams(title, subtitle=caption, anchor="start", offset=12)
    return house(chart).properties(title=heading, background="white")


def house(chart: Chart) -> Chart:
    """The house's type and lines."""
    return (
        chart.configure(font=_FONT)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            domainColor=AXIS,
            tickColor=AXIS,
            gridColor=GRID,
            titleFontWeight="normal",
            labelFontSize=12,
            titleFontSize=12,
        )
        .configure_title(color=INK, subtitleColor=FAINT, fontSize=14, subtitleFontSize=11)
        .configure_legend(
            labelColor=INK,
            titleColor=INK,
            symbolStrokeWidth=0,
            labelFontSize=12,
            columnPadding=4,
            labelOffset=2,
        )
    )
