"""python -m benchmarks: all of them."""

from benchmarks import ensemble, report, sketch

sketch.main()
ensemble.main()
report.main()
