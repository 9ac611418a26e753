"""The benchmarks: `python -m bench.run`. Every figure in docs/benchmarks.md comes from here."""
