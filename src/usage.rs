//! What this process has used: CPU time and memory, as Linux accounts for them.

use std::fs;

/// Clock ticks a second in `/proc/self/stat`: fixed at 100 in Linux's interface to programs.
const CLOCK_TICKS: f64 = 100.0;

/// CPU seconds of all threads so far, user and system; `None` where `/proc` is missing.
pub fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command in parentheses may hold anything; utime and stime are the 12th and 13th fields after it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / CLOCK_TICKS)
}

/// Greatest resident memory so far, bytes; `None` where `/proc` is missing.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
