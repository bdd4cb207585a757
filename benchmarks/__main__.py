"""python -m benchmarks: all of them."""

from benchmarks import ensemble, sketch

sketch.main()
ensemble.main()
