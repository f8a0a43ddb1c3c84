//! What a process has used, read from `/proc`.

use std::time::Duration;

use anyhow::Context as _;

/// CPU time and memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time since it started.
    pub cpu: Duration,
    /// The most resident memory it ever had, in bytes.
    pub peak: u64,
}

/// Clock ticks a second in `/proc/PID/stat`; Linux has shown 100 to user space on every architecture since 2.6.
const TICKS: u64 = 100;

/// Reads the usage of a running process.
pub fn usage(pid: u32) -> anyhow::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold spaces; fields are counted from behind it (proc(5)): utime is the 12th, stime the 13th.
    let (_, fields) = stat
        .rsplit_once(')')
        .context("unexpected form of /proc/PID/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |index: usize| -> anyhow::Result<u64> {
        Ok(fields.get(index).context("short /proc/PID/stat")?.parse()?)
    };
    let cpu = Duration::from_millis((ticks(11)? + ticks(12)?) * 1000 / TICKS);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .context("no VmHWM in /proc/PID/status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(Usage {
        cpu,
        peak: kib * 1024,
    })
}
