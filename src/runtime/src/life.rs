//! What is written down about a container's life, read back.
//!
//! In: the text of `life`: processes (by the operation that made it), then start and end (by the waiter). Out: process
//! IDs with start times, times, the exit. Never touches a file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kedge_api::machine::Exit;

use crate::waiter::record::{OFFSET, RECORD};

/// A process that can't be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process ID in the host's namespace.
    pub pid: i32,
    /// Start time in clock ticks since boot, from `/proc/<pid>/stat`.
    pub born: u64,
}

/// The two processes of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processes {
    /// The container's first process.
    pub init: Process,
    /// Its waiter.
    pub waiter: Process,
}

impl Processes {
    /// As a line of text of the length that comes before the waiter's part, followed by empty room for that.
    pub fn write(&self) -> String {
        let line = format!(
            "init={} init_born={} waiter={} waiter_born={}",
            self.init.pid, self.init.born, self.waiter.pid, self.waiter.born
        );
        format!("{line:OFFSET$}{:RECORD$}", "")
    }

    /// From the text of the file.
    pub fn read(text: &str) -> Option<Self> {
        let process = |pid: &str, born: &str| {
            Some(Process { pid: i32::try_from(value(text, pid)?).ok()?, born: u64::try_from(value(text, born)?).ok()? })
        };
        Some(Self { init: process("init", "init_born")?, waiter: process("waiter", "waiter_born")? })
    }
}

/// How a container ended, as its waiter saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// The words shared with the node.
    pub exit: Exit,
    /// Its program was started before it ended.
    pub began: bool,
    /// Log lines lost because the disk was full.
    pub dropped: u64,
}

/// When the program started, if it was.
pub fn started(text: &str) -> Option<SystemTime> {
    (value(text, "began")? == 1).then_some(())?;
    time(text, "started", "started_ns")
}

/// How it ended, if it has.
pub fn ending(text: &str) -> Option<Ending> {
    let began = value(text, "began")? == 1;
    let finished = time(text, "finished", "finished_ns")?;
    let signal = i32::try_from(value(text, "signal")?).ok()?;
    Some(Ending {
        exit: Exit {
            code: i32::try_from(value(text, "code")?).ok()?,
            signal: (signal != 0).then_some(signal),
            oom_killed: value(text, "oom")? > 0,
            started: if began { started(text)? } else { finished },
            finished,
        },
        began,
        dropped: u64::try_from(value(text, "dropped")?).ok()?,
    })
}

/// The start time of a process, from the text of `/proc/<pid>/stat`. The name may hold blanks and brackets.
pub fn born(stat: &str) -> Option<u64> {
    let after_name = stat.rsplit_once(')')?.1;
    // The state is field 3, the start time field 22.
    after_name.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

fn time(text: &str, seconds: &str, nanos: &str) -> Option<SystemTime> {
    let seconds = u64::try_from(value(text, seconds)?).ok()?;
    let nanos = u32::try_from(value(text, nanos)?).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

fn value(text: &str, key: &str) -> Option<i64> {
    text.split_ascii_whitespace().find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiter::record::{Record, oom_kills};

    fn written(pairs: &[(&str, i64)]) -> String {
        let mut record = Record::new();
        for (key, value) in pairs {
            record.add(key.as_bytes(), *value);
        }
        String::from_utf8(record.finish().to_vec()).expect("ASCII")
    }

    #[test]
    fn what_the_waiter_writes_is_read_back() {
        let text = written(&[
            ("code", 137),
            ("signal", 9),
            ("oom", 1),
            ("began", 1),
            ("started", 1_800_000_000),
            ("started_ns", 5),
            ("finished", 1_800_000_001),
            ("finished_ns", 999_999_999),
            ("dropped", 3),
        ]);
        assert_eq!(text.len(), RECORD);
        let ending = ending(&text).expect("whole");
        assert_eq!((ending.exit.code, ending.exit.signal), (137, Some(9)));
        assert!(ending.exit.oom_killed && ending.began);
        assert_eq!(ending.dropped, 3);
        assert_eq!(ending.exit.started, UNIX_EPOCH + Duration::new(1_800_000_000, 5));
        assert_eq!(ending.exit.finished, UNIX_EPOCH + Duration::new(1_800_000_001, 999_999_999));
    }

    #[test]
    fn a_record_cut_short_is_none() {
        assert_eq!(ending("code=1 signal=0"), None);
        assert_eq!(Processes::read("init=1 init_born=2 waiter=3"), None);
    }

    #[test]
    fn processes_survive_writing() {
        let processes = Processes { init: Process { pid: 7, born: 8 }, waiter: Process { pid: 9, born: 10 } };
        let text = processes.write();
        assert_eq!((Processes::read(&text), text.len()), (Some(processes), OFFSET + RECORD));
        assert_eq!((started(&text), ending(&text)), (None, None));
    }

    #[test]
    fn a_process_name_may_hold_brackets() {
        let stat = "12 (a) b) c) S 1 12 12 0 -1 4194304 1 0 0 0 1 2 3 4 20 0 1 0 987654 1 2";
        assert_eq!(born(stat), Some(987_654));
    }

    #[test]
    fn oom_kills_are_found_in_both_forms() {
        assert_eq!(oom_kills(b"oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
        assert_eq!(oom_kills(b"low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(oom_kills(b""), 0);
    }
}
