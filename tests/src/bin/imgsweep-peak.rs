//! The `imgsweep` command, which says at its end how much memory it took: the last line on standard error is `peak <KiB>`, the peak
//! resident size of the process (Linux, `proc_pid_status(5)`).

use std::process::ExitCode;

use anyhow::Context;

fn main() -> anyhow::Result<ExitCode> {
    let code = imgsweep::main();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let peak = line.and_then(|line| line.split_whitespace().nth(1));
    eprintln!("peak {}", peak.context("the system does not tell")?);
    Ok(code)
}
