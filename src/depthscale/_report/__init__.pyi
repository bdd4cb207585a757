"""Records as pages, charts and tables. Charts compute nothing."""

from depthscale._report.article.founding_figures import founding_figures as founding_figures
from depthscale._report.chart.argument_charts import argument_figures as argument_figures
from depthscale._report.chart.matter_charts import matter_figures as matter_figures
from depthscale._report.chart.phase_chart import phase_chart as phase_chart
from depthscale._report.chart.phase_chart import phase_summary as phase_summary
from depthscale._report.chart.pictures import pictures as pictures
from depthscale._report.chart.study_chart import study_figures as study_figures
from depthscale._report.chart.sweep_chart import sweep_figures as sweep_figures
from depthscale._report.render import report as report
from depthscale._report.render import to_html as to_html
from depthscale._report.terminal.argument_table import argument_table as argument_table
from depthscale._report.terminal.argument_table import rows_table as rows_table
from depthscale._report.terminal.explanation_table import explained_view as explained_view
from depthscale._report.terminal.first_steps_table import first_steps_view as first_steps_view
from depthscale._report.terminal.founding_table import founding_table as founding_table
from depthscale._report.terminal.matter_table import matter_table as matter_table
from depthscale._report.terminal.normalizers_table import normalizers_table as normalizers_table
from depthscale._report.terminal.probe_table import probe_view as probe_view
from depthscale._report.terminal.probe_table import require_known as require_known
from depthscale._report.terminal.profile_table import classical_lines as classical_lines
from depthscale._report.terminal.profile_table import growth_line as growth_line
from depthscale._report.terminal.profile_table import one_network_lines as one_network_lines
from depthscale._report.terminal.profile_table import profile_table as profile_table
from depthscale._report.terminal.profile_table import trainable_depth_lines as trainable_depth_lines
from depthscale._report.terminal.recording_view import recording_view as recording_view
from depthscale._report.terminal.study_table import study_table as study_table
from depthscale._report.terminal.sweep_table import sweep_table as sweep_table
from depthscale._report.terminal.walk_lines import Heading as Heading
from depthscale._report.terminal.walk_lines import walk_lines as walk_lines

__all__: list[str]
