"""python -m benchmarks: all of them."""

from benchmarks import ensemble, probe, report, sketch, small

sketch.main()
ensemble.main()
probe.main()
small.main()
report.main()
