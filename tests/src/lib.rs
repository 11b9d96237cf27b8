//! What crosses crates: the whole pipeline, the command line, the shape of the house.
