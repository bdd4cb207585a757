"""Watching a training run: runs over steps, from the user's own backward pass."""

from depthscale.monitor.alert import Alert as Alert
from depthscale.monitor.began import Began as Began
from depthscale.monitor.began import Departed as Departed
from depthscale.monitor.began_words import began_sentence as began_sentence
from depthscale.monitor.monitor import Monitor as Monitor
from depthscale.monitor.recording import Event as Event
from depthscale.monitor.recording import Recording as Recording
from depthscale.monitor.recording import load_recording as load_recording
from depthscale.monitor.step_row import StepRow as StepRow
from depthscale.monitor.timeline import COLUMNS as COLUMNS
from depthscale.monitor.timeline import HEADINGS as HEADINGS
from depthscale.monitor.timeline import Timeline as Timeline

__all__: list[str]
