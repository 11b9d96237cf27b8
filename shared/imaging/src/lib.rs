//! Image bytes to measurements: synchronous, no input or output.
