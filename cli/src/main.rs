//! The `imgsweep` command. All of it is in the library, which is compiled in many parts at once; what is left here is compiled in one.

use std::process::ExitCode;

fn main() -> ExitCode {
    imgsweep::main()
}
