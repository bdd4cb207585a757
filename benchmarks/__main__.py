"""python -m benchmarks: all of them."""

from benchmarks import after, ensemble, probe, report, sketch, small

sketch.main()
ensemble.main()
probe.main()
small.main()
after.main()
report.main()
