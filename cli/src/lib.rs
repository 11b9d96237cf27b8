//! imgsweep on the command line: the whole pipeline on one machine.
