//! What the figures were taken on: processor, cores, memory, kernel, load, and the commit.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Model name of the processor.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Version of the kernel.
    pub kernel: String,
}

impl Machine {
    /// This machine; what cannot be read stays empty.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = after(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Self {
            cpu: after(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: kib.unwrap_or(0) * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// Mean number of processes that ran or waited over the last 1, 5 and 15 minutes.
pub fn load() -> [f64; 3] {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split_whitespace().map_while(|part| part.parse().ok());
    [(); 3].map(|()| numbers.next().unwrap_or(0.0))
}

/// The commit of the source tree around `folder`, with `-dirty` behind it when files were changed; empty without git.
pub fn commit(folder: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return String::new() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changed) if changed.is_empty() => commit,
        _ => format!("{commit}-dirty"),
    }
}

/// Ticks of a second in `/proc/PID/stat`: fixed at 100 in Linux's interface to programs.
const CLOCK_TICKS: f64 = 100.0;

/// CPU seconds so far, user and system, and greatest resident memory in bytes of a process; `None` where `/proc` does
/// not say.
pub fn used(id: u32) -> Option<(f64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The command in parentheses may hold anything; utime and stime are the 12th and 13th fields after it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let peak = line.split_whitespace().next()?.parse::<u64>().ok()? * 1024;
    Some(((user + system) / CLOCK_TICKS, peak))
}

#[cfg(test)]
mod tests {
    use super::{Machine, load};

    #[test]
    fn this_machine_has_cores_and_memory() {
        let here = Machine::here();
        assert!(here.cores > 0 && here.memory_bytes > 1 << 20 && !here.kernel.is_empty(), "{here:?}");
        assert!(load().iter().all(|load| *load >= 0.0));
        assert!(super::used(std::process::id()).is_some_and(|(_, peak)| peak > 1 << 16));
    }
}
