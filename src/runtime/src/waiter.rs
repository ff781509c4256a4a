//! The waiter: its program, and those of its parts that are plain computation, for tests and for reading back.
//!
//! In: nothing. Out: bytes of a static program; modules shared with it. The program itself is in `waiter/main.rs`.

#[path = "../waiter/lines.rs"]
#[allow(dead_code, reason = "the waiter program uses all of it, the runtime only tests it")]
pub mod lines;
#[path = "../waiter/record.rs"]
#[allow(dead_code, reason = "the waiter program uses all of it, the runtime only tests it")]
pub mod record;

#[path = "../waiter/words.rs"]
pub mod words;

/// The program, built by `build.rs`.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/waiter"));

/// Descriptors that the program expects; they must be what `waiter/main.rs` says.
pub mod descriptors {
    /// Container's standard output, read end.
    pub const STDOUT: i32 = 3;
    /// Container's standard error, read end.
    pub const STDERR: i32 = 4;
    /// Start pipe, read end.
    pub const STARTED: i32 = 5;
    /// The container's `life` file.
    pub const LIFE: i32 = 6;
    /// The log's folder.
    pub const LOGS: i32 = 7;
    /// The cgroup's file with the count of OOM kills.
    pub const OOM: i32 = 8;
    /// Keeps the container's standard input open; read only for a terminal.
    pub const STDIN: i32 = 9;
    /// Where clients of the container's own streams arrive.
    pub const ATTACH: i32 = 10;
}

#[cfg(test)]
mod tests {
    use super::lines::{HEAD, LINE, Lines, Sink};

    #[derive(Default)]
    struct Collected(Vec<String>, i64);

    impl Sink for Collected {
        fn now(&mut self) -> (i64, u32) {
            (self.1, 123_456_789)
        }

        fn line(&mut self, head: &[u8; HEAD], text: &[u8]) {
            let head = std::str::from_utf8(head).expect("ASCII");
            self.0.push(format!("{head}{}", String::from_utf8_lossy(text)));
        }
    }

    /// Feeds the pieces as reads would bring them and answers tag and text of each line.
    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let mut buffer = [0; LINE];
        let mut lines = Lines::new(*b"stdout", &mut buffer);
        let mut sink = Collected::default();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let space = lines.space();
                let count = rest.len().min(space.len());
                space[..count].copy_from_slice(&rest[..count]);
                lines.took(count, &mut sink);
                rest = &rest[count..];
            }
        }
        lines.finish(&mut sink);
        sink.0.iter().map(|line| line[38..].to_owned()).collect()
    }

    #[track_caller]
    fn check(pieces: &[&[u8]], expected: &[&str]) {
        assert_eq!(cut(pieces), expected);
    }

    #[test]
    fn lines_are_whole_however_they_were_read() {
        check(&[b"a\nb\n"], &["F a", "F b"]);
        check(&[b"a", b"b\nc", b"\n"], &["F ab", "F c"]);
        check(&[b"\n\n"], &["F ", "F "]);
        check(&[b"tail"], &["P tail"]);
        check(&[b"a\ntail"], &["F a", "P tail"]);
        check(&[], &[]);
    }

    #[test]
    fn a_line_longer_than_the_limit_comes_in_pieces() {
        let long = vec![b'x'; LINE + 3];
        let ended = [long.as_slice(), b"\nshort\n"].concat();
        let first = format!("P {}", "x".repeat(LINE));
        check(&[&ended], &[&first, "F xxx", "F short"]);
        let exact = [vec![b'y'; LINE].as_slice(), b"\n"].concat();
        let piece = format!("P {}", "y".repeat(LINE));
        check(&[&exact], &[&piece, "F "]);
    }

    #[test]
    fn heads_carry_time_stream_and_tag() {
        let mut buffer = [0; LINE];
        let mut lines = Lines::new(*b"stderr", &mut buffer);
        // 2024-02-29T12:34:56Z, 1970, and the last second of 2099.
        for (seconds, expected) in [
            (1_709_210_096, "2024-02-29T12:34:56.123456789Z stderr F x"),
            (0, "1970-01-01T00:00:00.123456789Z stderr F x"),
            (4_102_444_799, "2099-12-31T23:59:59.123456789Z stderr F x"),
        ] {
            let mut sink = Collected(Vec::new(), seconds);
            lines.space()[..2].copy_from_slice(b"x\n");
            lines.took(2, &mut sink);
            assert_eq!(sink.0, [expected]);
        }
    }

    #[test]
    fn the_program_is_small() {
        assert!(super::PROGRAM.len() <= 12 * 1024, "{}", super::PROGRAM.len());
    }
}
