//! Untrusted list to rows: CSV, TSV, NDJSON, plain text, compressed or not, in bounded memory.
