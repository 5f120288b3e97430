//! Memory and processor time of a process and of all below it, from Linux's `/proc`; nothing
//! elsewhere.

use std::fs;

/// User and system time so far, in seconds. A process that has ended counts once its parent has
/// waited for it.
pub(crate) fn processor_seconds(root: u32) -> Option<f64> {
    let ticks = tree(root).into_iter().map(|process| process.ticks).reduce(|all, one| all + one)?;
    // Linux counts in hundredths of a second here, whatever its own clock.
    Some(ticks as f64 / 100.0)
}

/// Resident memory in MB. A page that several processes share counts once, in equal parts.
pub(crate) fn resident_mb(root: u32) -> Option<f64> {
    let kib = tree(root).into_iter().filter_map(|process| proportional_kib(process.pid));
    let kib: f64 = kib.reduce(|all, one| all + one)?;
    Some((kib * 1024.0 / 1e6 * 10.0).round() / 10.0)
}

struct Process {
    pid: u32,
    parent: u32,
    ticks: u64,
}

/// The process and all below it. What a process has started is below nobody once it has ended.
fn tree(root: u32) -> Vec<Process> {
    let mut processes = all();
    let mut pids = vec![root];
    let mut looked_at = 0;
    while let Some(&pid) = pids.get(looked_at) {
        let children = processes.iter().filter(|process| process.parent == pid);
        let children: Vec<u32> = children.map(|process| process.pid).collect();
        pids.extend(children);
        looked_at += 1;
    }
    processes.retain(|process| pids.contains(&process.pid));
    processes
}

fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // pid (name) state parent …; the name may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    // Its own user and system time, and those of its children that it has waited for.
    let ticks = fields.get(11..15)?.iter().map(|ticks| ticks.parse::<u64>());
    let ticks = ticks.sum::<Result<u64, _>>().ok()?;
    Some(Process { pid, parent: fields.get(1)?.parse().ok()?, ticks })
}

fn proportional_kib(pid: u32) -> Option<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        io::{BufRead, BufReader, Lines},
        process::{Child, ChildStdout, Command, Stdio},
    };

    use super::*;

    /// A shell once its script has printed a line.
    #[expect(clippy::unwrap_used, reason = "this is test code")]
    fn shell(script: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        (child, lines)
    }

    fn pids(root: u32) -> Vec<u32> {
        tree(root).into_iter().map(|process| process.pid).collect()
    }

    #[test]
    fn a_tree_has_children_of_children() {
        let (mut child, _lines) =
            shell("sh -c 'sh -c \"echo there; read line; true\"; true'; true");
        let below = pids(child.id());
        assert_eq!(below.len(), 3, "{below:?}");
        let own = pids(std::process::id());
        assert!(below.iter().all(|pid| own.contains(pid)), "{below:?} in {own:?}");
        assert!(!below.contains(&std::process::id()));
        let of_one = proportional_kib(child.id()).unwrap() * 1024.0 / 1e6;
        assert!(resident_mb(child.id()).unwrap() > 1.5 * of_one);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(pids(child.id()).is_empty());
        assert_eq!((resident_mb(child.id()), processor_seconds(child.id())), (None, None));
    }

    #[test]
    fn the_time_of_a_child_that_has_ended_still_counts() {
        let work = "(i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done)";
        let (mut child, _lines) = shell(&format!("{work}; echo there; read line"));
        assert_eq!(pids(child.id()), [child.id()]);
        assert!(processor_seconds(child.id()).unwrap() >= 0.05);
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
