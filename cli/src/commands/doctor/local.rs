//! This machine: files, memory, disk, names, the clock, the folder.

use std::fs;
use std::path::{Path, PathBuf};

use adapters_embedded::{DataFolder, DataFolderError};
use jiff::Timestamp;

use super::finding::Finding;
use crate::engine::{SHARED_ANSWERS, open_shared_answers};
use crate::list_run::STATE_FOLDER;

/// Open files besides connections: state, objects, standard ones.
const OTHER_FILES: u64 = 128;
/// What the engine holds at its worst, in MB: decoders, bodies, itself.
const MEMORY_MB: u64 = 300;
/// Less room than this on the disk is grave, or doubtful, in MB. Fifteen million rows take about 9 GB.
const DISK_MB: (u64, u64) = (200, 10_000);
/// No clock of a machine that is set right shows a day before this program was written.
const WRITTEN: i64 = 1_790_000_000;

/// Looks at everything that `run` and `serve` need.
pub(super) fn look(data: &Path, concurrency: usize) -> Vec<Finding> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut findings = vec![
        open_files(&read("/proc/self/limits"), concurrency as u64),
        memory(
            &read("/proc/meminfo"),
            &read("/sys/fs/cgroup/memory.max"),
            &read("/sys/fs/cgroup/memory.current"),
        ),
        names(&read("/etc/resolv.conf")),
        clock(Timestamp::now().as_second()),
    ];
    findings.extend(disk(data));
    findings.extend(folder(data));
    findings.extend(vision(&|name| std::env::var(name).ok()));
    findings
}

fn open_files(limits: &str, concurrency: u64) -> Finding {
    let title = "open files";
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    let needed = concurrency + OTHER_FILES;
    match soft.map(str::parse::<u64>) {
        Some(Ok(allowed)) if allowed < needed => Finding::grave(
            title,
            format!(
                "{allowed} may be open at once, {needed} are needed for {concurrency} requests under way"
            ),
            format!(
                "raise the limit (`ulimit -n {}`), or lower --concurrency",
                needed.next_power_of_two()
            ),
        ),
        Some(Ok(allowed)) => Finding::fine(title, format!("{allowed} allowed, {needed} needed")),
        _ => Finding::fine(title, "no limit that this system tells of"),
    }
}

fn memory(meminfo: &str, bound: &str, used: &str) -> Finding {
    let title = "memory";
    let available = meminfo
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemAvailable:")?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        })
        .map(|kibibytes| kibibytes >> 10);
    let bytes = |text: &str| text.trim().parse::<u64>().ok();
    let in_group = bytes(bound)
        .zip(bytes(used))
        .map(|(bound, used)| bound.saturating_sub(used) >> 20);
    let Some(free) = available.into_iter().chain(in_group).min() else {
        return Finding::fine(title, "this system does not tell");
    };
    if free < MEMORY_MB {
        return Finding::grave(
            title,
            format!("{free} MB are free, {MEMORY_MB} MB are needed at worst"),
            "stop something else, give the container more, or set --memory-limit-mb so that less is begun at once",
        );
    }
    Finding::fine(
        title,
        format!("{free} MB free, {MEMORY_MB} MB needed at worst"),
    )
}

fn names(resolv_conf: &str) -> Finding {
    let title = "names";
    let servers = resolv_conf
        .lines()
        .filter(|line| line.trim_start().starts_with("nameserver"))
        .count();
    if servers == 0 {
        return Finding::doubtful(
            title,
            "no name server in /etc/resolv.conf",
            "name one, or every row of a host with a name ends as dns_error",
        );
    }
    Finding::fine(title, format!("{servers} name servers"))
}

fn clock(now: i64) -> Finding {
    if now < WRITTEN {
        return Finding::grave(
            "clock",
            "it shows a day before this program was written",
            "set it: certificates are refused, and leases and life times are wrong",
        );
    }
    Finding::fine("clock", "plausible")
}

/// The nearest folder above that is there: what is to be made has its room there.
fn existing(path: &Path) -> &Path {
    let mut at = path;
    while !at.exists() {
        match at.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => at = parent,
            _ => return Path::new("."),
        }
    }
    at
}

fn disk(data: &Path) -> Option<Finding> {
    let room = rustix::fs::statvfs(existing(data)).ok()?;
    let free_mb = (room.f_bavail * room.f_frsize) >> 20;
    Some(room_on_disk(free_mb))
}

fn room_on_disk(free_mb: u64) -> Finding {
    let (grave, doubtful) = DISK_MB;
    let evidence = format!("{free_mb} MB are free; a million rows take about 600 MB");
    let remedy = "free some, or choose another disk with -o or --data; an interrupted run goes on where it stopped";
    match free_mb {
        free if free < grave => Finding::grave("disk", evidence, remedy),
        free if free < doubtful => Finding::doubtful("disk", evidence, remedy),
        _ => Finding::fine("disk", evidence),
    }
}

/// Whether another process works on the folder. One that is not there is not made.
fn folder(data: &Path) -> Option<Finding> {
    let inner = data.join(STATE_FOLDER);
    let state = if inner.is_dir() {
        inner
    } else {
        data.to_owned()
    };
    if !state.join("lock").exists() {
        return None;
    }
    Some(match DataFolder::open(&state) {
        Ok(_) => Finding::fine("folder", format!("{} can be worked on", data.display())),
        Err(DataFolderError::InUse { .. }) => Finding::doubtful(
            "folder",
            format!("another process works on {}", data.display()),
            "wait for it, stop it, or choose another folder",
        ),
        Err(error) => Finding::grave(
            "folder",
            format!("{}: {error}", data.display()),
            "look at its owner and rights; if its state is damaged, run the list into another folder",
        ),
    })
}

/// Whether answers that were paid for can be kept for later runs. A folder that is not there is not made.
pub(super) fn cache(folder: Option<PathBuf>) -> Finding {
    let title = "cache";
    let remedy = "set CACHE_DIR to a folder that can be written to; until then every run pays for its answers anew";
    let Some(folder) = folder else {
        return Finding::doubtful(title, "neither CACHE_DIR nor HOME is set", remedy);
    };
    let shown = folder.display();
    if folder.is_dir() {
        // Rights alone do not tell: a disk may be mounted for reading.
        return match tempfile::tempfile_in(&folder) {
            Ok(_) if folder.join(SHARED_ANSWERS).exists() && !is_usable(&folder) => {
                Finding::doubtful(
                    title,
                    format!("{SHARED_ANSWERS} in {shown} cannot be read"),
                    format!("remove {SHARED_ANSWERS}, or {remedy}"),
                )
            }
            Ok(_) => Finding::fine(title, format!("{shown} can be written to")),
            Err(error) => Finding::doubtful(title, format!("{shown}: {error}"), remedy),
        };
    }
    let above = existing(&folder);
    if above.is_dir() && rustix::fs::access(above, rustix::fs::Access::WRITE_OK).is_ok() {
        return Finding::fine(title, format!("{shown} is made when it is needed"));
    }
    let evidence = format!("{shown} is no folder, and none can be made there");
    Finding::doubtful(title, evidence, remedy)
}

fn is_usable(folder: &Path) -> bool {
    open_shared_answers(folder).is_ok()
}

fn vision(variable: &dyn Fn(&str) -> Option<String>) -> Option<Finding> {
    let provider = variable("VISION_PROVIDER").filter(|provider| provider != "none")?;
    if variable("VISION_KEYS").is_none_or(|keys| keys.trim().is_empty()) {
        return Some(Finding::doubtful(
            "vision",
            format!("VISION_PROVIDER is {provider}, and VISION_KEYS is empty"),
            "set VISION_KEYS, or name a file with --vision-keys",
        ));
    }
    Some(Finding::fine("vision", format!("{provider}, with keys")))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn too_few_open_files_are_grave_with_the_number_to_set() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
            Max open files            256                  4096                 files\n";
        let finding = open_files(limits, 1_000);
        assert_eq!(finding.severity, Severity::Grave);
        assert!(finding.remedy.contains("ulimit -n 2048"), "{finding:?}");
        assert_eq!(open_files(limits, 100).severity, Severity::Fine);
        assert_eq!(open_files("", 100).severity, Severity::Fine);
    }

    #[test]
    fn the_tighter_of_machine_and_container_counts() {
        let meminfo = "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n";
        assert_eq!(memory(meminfo, "max\n", "5\n").severity, Severity::Fine);
        let tight = memory(meminfo, "536870912\n", "403177472\n");
        assert_eq!(tight.severity, Severity::Grave);
        assert!(tight.evidence.contains("127 MB"), "{tight:?}");
    }

    #[test]
    fn disk_names_clock_and_keys_are_judged() {
        let severities = [50, 5_000, 50_000].map(|free| room_on_disk(free).severity);
        assert_eq!(
            severities,
            [Severity::Grave, Severity::Doubtful, Severity::Fine]
        );
        assert_eq!(names("# nothing\n").severity, Severity::Doubtful);
        assert_eq!(names("nameserver 192.0.2.1\n").severity, Severity::Fine);
        assert_eq!(clock(0).severity, Severity::Grave);
        let set = |name: &str| (name == "VISION_PROVIDER").then(|| "openai".to_owned());
        assert_eq!(
            vision(&set).map(|finding| finding.severity),
            Some(Severity::Doubtful)
        );
        assert_eq!(vision(&|_| None), None);
    }

    #[test]
    fn a_cache_is_told_that_cannot_be_kept_and_none_is_made() {
        let parent = tempfile::tempdir().unwrap();
        let severity = |folder: PathBuf| cache(Some(folder)).severity;
        let folder = parent.path().join("answers");
        assert_eq!(severity(folder.join("deep")), Severity::Fine);
        assert!(!folder.exists());
        assert_eq!(severity(parent.path().to_owned()), Severity::Fine);
        std::fs::write(&folder, "no folder").unwrap();
        assert_eq!(severity(folder.clone()), Severity::Doubtful);
        assert_eq!(severity(folder.join("deep")), Severity::Doubtful);
        std::fs::write(parent.path().join(SHARED_ANSWERS), "no database").unwrap();
        let damaged = cache(Some(parent.path().to_owned()));
        assert_eq!(damaged.severity, Severity::Doubtful);
        assert!(damaged.remedy.contains(SHARED_ANSWERS), "{damaged:?}");
        assert_eq!(cache(None).severity, Severity::Doubtful);
    }

    #[test]
    fn a_folder_in_use_is_told_and_none_is_made() {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("data");
        assert_eq!(folder(&data), None);
        assert!(!data.exists());
        let held = DataFolder::open(&data).unwrap();
        let severity = |finding: Option<Finding>| finding.map(|finding| finding.severity);
        assert_eq!(severity(folder(&data)), Some(Severity::Doubtful));
        drop(held);
        assert_eq!(severity(folder(&data)), Some(Severity::Fine));
    }
}
