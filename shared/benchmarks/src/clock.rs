//! Processor time, and a yardstick for how much a second of it is worth right now.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Bytes that the yardstick walks over: more than a processor's nearest caches hold, as images do.
const WALKED_BYTES: usize = 1 << 20;
/// Rounds over them: some milliseconds.
const ROUNDS: usize = 6;
/// Calls to another thread, and what each of them keeps there: some milliseconds.
const CALLS: u32 = 300;
const TEXTS_A_CALL: u32 = 40;
/// Clock ticks a second in what `/proc` tells: 100 on every Linux that Rust's standard library runs on.
const TICKS_PER_S: f64 = 100.0;

/// Keeps this thread, and all that it starts, to the processor that it is on, where the system lets it (Linux).
///
/// Waking a thread of another processor costs more than one of the same, many times more on a virtual machine that has let it go. Where threads end up is chance, and
/// differs from run to run.
pub fn keep_to_one_processor() {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
        let mut processors = CpuSet::new();
        processors.set(sched_getcpu());
        // A measurement on several is a measurement, too.
        let _ = sched_setaffinity(None, &processors);
    }
}

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

/// What a yardstick has to be like to feel what is measured next to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Computes on one thread, like decoding.
    Computing,
    /// Goes from thread to thread and touches many small things, like calls to a store. On a busy machine every such change finds caches filled by others.
    Changing,
}

/// A fixed piece of work of that kind, some milliseconds of it.
///
/// A processor that is throttled, or shared with a neighbour that fills its caches, is slower at this by about as much as at whatever
/// is measured next to it. So a time divided by this one is comparable where the time alone is not.
pub fn yardstick(work: Work) -> Yardstick {
    match work {
        Work::Computing => {
            // Whether memory is new to the process is chance, and not what is to be felt.
            let mut bytes: Vec<u8> = (0..WALKED_BYTES)
                .map(|at| ((at * 131) >> 3) as u8)
                .collect();
            timed(|| compute(&mut bytes))
        }
        Work::Changing => timed(change),
    }
}

fn timed(work: impl FnOnce()) -> Yardstick {
    let (cpu, wall) = (process_cpu(), Instant::now());
    work();
    Yardstick {
        cpu_s: process_cpu().saturating_sub(cpu).as_secs_f64(),
        wall_s: wall.elapsed().as_secs_f64(),
    }
}

/// Sums, products, look-ups and branches over a megabyte.
fn compute(bytes: &mut [u8]) {
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
}

/// Requests to another thread, one after another, which keeps small texts in a tree.
fn change() {
    thread::scope(|scope| {
        let (ask, asked) = mpsc::channel::<u32>();
        let (answer, answered) = mpsc::channel();
        scope.spawn(move || {
            let mut kept = BTreeMap::new();
            for number in asked {
                for at in 0..TEXTS_A_CALL {
                    let key = format!("{:08x}-{at}", number.wrapping_mul(0x9e37_79b9));
                    let text = key.repeat(8);
                    kept.insert(key, text);
                }
                if answer.send(kept.len()).is_err() {
                    return;
                }
            }
        });
        for number in 0..CALLS {
            if ask.send(number).is_err() || answered.recv().is_err() {
                return;
            }
        }
    });
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
        for work in [Work::Computing, Work::Changing] {
            let yardstick = yardstick(work);
            assert!(yardstick.cpu_s > 0.0 && yardstick.wall_s > 0.0);
        }
    }
}
