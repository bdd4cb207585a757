"""python -m benchmarks: all of them."""

from benchmarks import ensemble, probe, sketch

sketch.main()
ensemble.main()
probe.main()
