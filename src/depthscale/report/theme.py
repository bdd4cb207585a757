"""One look for every chart. / colours: Okabe & Ito 2008, told apart by colour-blind readers too."""

import altair as alt

INK = "#333333"
NETWORK_COLOURS = ["#0072B2", "#D55E00", "#009E73"]
NEURON_COLOURS = ["#0072B2", "#E69F00", "#CC79A7"]
_FONT = "Helvetica, Arial, sans-serif"

Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart | alt.VConcatChart


def themed(chart: Chart, title: str, caption: str) -> Chart:
    """The chart with its title, a line that says how to read it, and the house's type and background."""
    heading = alt.TitleParams(title, subtitle=caption, anchor="start", offset=12)
    return (
        chart.properties(title=heading, background="white")
        .configure(font=_FONT)
        .configure_view(stroke=None)
        .configure_axis(labelColor=INK, titleColor=INK, domainColor="#999999", tickColor="#999999", titleFontWeight="normal")
        .configure_title(color=INK, subtitleColor="#666666", fontSize=14, subtitleFontSize=11)
        .configure_legend(labelColor=INK, symbolStrokeWidth=0)
    )
