"""The benchmarks: what docs/performance.md tells is measured here. Run `make bench`."""
