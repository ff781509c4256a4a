//! What only the start needed is given back.
//!
//! In: the store and this process, some time after its start. Out: what the store's caches hold, the heap's free pages,
//! and the code that is not used any more, are the system's again: on a small device they are worth more elsewhere. Code
//! that is used after all comes back from the page cache by itself. Happens once, so that an idle device stays asleep.

use std::ops::Range;
use std::time::Duration;

use kedge_store::Store;

/// Lists, plugins and certificates of a start are through by then, also on a slow device.
const AFTER: Duration = Duration::from_secs(20);

/// Waits until the start is through, and gives back what only it needed.
pub async fn after_start(store: Store) {
    tokio::time::sleep(AFTER).await;
    if store.relax().await.is_ok() {
        give_back();
    }
}

fn give_back() {
    // SAFETY: asks the allocator to return what is free; it locks its own structures.
    unsafe { libc::malloc_trim(0) };
    let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let table = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for range in code(&table, &program.to_string_lossy()) {
        // SAFETY: a private mapping of a file that is never written through: its pages are read again when needed.
        let done = unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), libc::MADV_DONTNEED) };
        if done != 0 {
            tracing::debug!(error = %std::io::Error::last_os_error(), "code could not be given back");
        }
    }
}

/// Where the program's code lies: executable, never writable (what is written to would be lost), and of its own file.
fn code(table: &str, program: &str) -> Vec<Range<usize>> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (range, rights) = (words.next()?, words.next()?);
        let path = line.find('/').map(|at| &line[at..])?;
        let (start, end) = range.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        (rights == "r-xp" && path == program && !program.is_empty()).then_some(number(start)?..number(end)?)
    };
    table.lines().filter_map(line).filter(|range| range.start < range.end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_code_that_nobody_writes_to() {
        let table = "\
            55d0c0000000-55d0c0500000 r--p 00000000 fe:00 11 /usr/bin/edged\n\
            55d0c0500000-55d0c1300000 r-xp 00500000 fe:00 11 /usr/bin/edged\n\
            55d0c1300000-55d0c1400000 rwxp 01300000 fe:00 11 /usr/bin/edged\n\
            7f0000000000-7f0000100000 r-xp 00000000 fe:00 12 /usr/lib/libc.so.6\n\
            7f0000200000-7f0000300000 r-xp 00000000 fe:00 13 /usr/bin/edged (deleted)\n\
            7f0000400000-7f0000500000 r-xp 00000000 00:00 0\n\
            nonsense\n";
        let own = Range { start: 0x55d0_c050_0000, end: 0x55d0_c130_0000 };
        assert_eq!(code(table, "/usr/bin/edged"), [own]);
        assert!(code(table, "").is_empty());
    }

    #[test]
    fn the_program_runs_on() {
        give_back();
        assert_eq!((0..100).map(|n| n.to_string().len()).sum::<usize>(), 190);
    }
}
