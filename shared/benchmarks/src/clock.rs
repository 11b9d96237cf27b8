//! Processor time, and a yardstick for how much a second of it is worth right now.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Bytes that the yardstick walks over: more than a processor's nearest caches hold, as images do.
const WALKED_BYTES: usize = 1 << 20;
/// Rounds over them: some milliseconds.
const ROUNDS: usize = 6;
/// Clock ticks a second in what `/proc` tells: 100 on every Linux that Rust's standard library runs on.
const TICKS_PER_S: f64 = 100.0;

/// Processor time of this process so far, all threads together.
pub fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}

/// Processor time of another process so far (Linux, `proc_pid_stat(5)`, to a hundredth of a second).
pub fn cpu_of(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
    let after_name = stat.rsplit_once(')')?.1;
    let mut times = after_name.split_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(Duration::from_secs_f64(
        (user + system) as f64 / TICKS_PER_S,
    ))
}

/// What the yardstick took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Yardstick {
    /// Processor time, in seconds.
    pub cpu_s: f64,
    /// Time on the clock, in seconds.
    pub wall_s: f64,
}

/// A fixed piece of work: sums, products, look-ups and branches over a megabyte, like decoding.
///
/// A processor that is throttled, or shared with a neighbour that fills its caches, is slower at this by about as much as at whatever
/// is measured next to it. So a time divided by this one is comparable where the time alone is not.
pub fn yardstick() -> Yardstick {
    let mut bytes: Vec<u8> = (0..WALKED_BYTES)
        .map(|at| ((at * 131) >> 3) as u8)
        .collect();
    let (cpu, wall) = (process_cpu(), Instant::now());
    let mut state = 0x9e37_79b9_u32;
    let mut sum = 0.0_f32;
    for _ in 0..ROUNDS {
        for at in 0..bytes.len() {
            state = state.rotate_left(5) ^ u32::from(bytes[at]).wrapping_mul(0x85eb_ca6b);
            if state.trailing_zeros() >= 3 {
                let far = state as usize & (WALKED_BYTES - 1);
                bytes[far] = bytes[far].wrapping_add(1);
                sum += f32::from(bytes[far]) * 0.125;
            }
        }
    }
    black_box((state, sum));
    Yardstick {
        cpu_s: process_cpu().saturating_sub(cpu).as_secs_f64(),
        wall_s: wall.elapsed().as_secs_f64(),
    }
}

/// Keeps a processor busy until this process has used so much more of its time.
pub fn burn(cpu: Duration) {
    let until = process_cpu() + cpu;
    let mut state = 1_u32;
    while process_cpu() < until {
        for _ in 0..2_000 {
            state = black_box(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burnt_time_is_seen_by_both_clocks() {
        let (own, told) = (process_cpu(), cpu_of(std::process::id()).unwrap());
        burn(Duration::from_millis(60));
        assert!(process_cpu().saturating_sub(own) >= Duration::from_millis(60));
        let told = cpu_of(std::process::id()).unwrap().saturating_sub(told);
        assert!(told >= Duration::from_millis(40), "{told:?}");
        let yardstick = yardstick();
        assert!(yardstick.cpu_s > 0.0 && yardstick.wall_s > 0.0);
    }
}
