//! Criterion suites, layer by layer.
