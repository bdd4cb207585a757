"""python -m benchmarks: all of them."""

from benchmarks import ensemble, probe, report, sketch

sketch.main()
ensemble.main()
probe.main()
report.main()
