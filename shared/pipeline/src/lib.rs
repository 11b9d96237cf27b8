//! The use cases, one per file: accept, split, analyze a chunk, record metrics, finalize, sweep.
