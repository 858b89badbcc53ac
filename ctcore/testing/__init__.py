"""Public kit for authors of plugins: fakes, conformance suites, recordings, virtual time."""
