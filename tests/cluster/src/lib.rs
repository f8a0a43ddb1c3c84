//! Tests of Postern in a real control plane; they are in `tests/`.
