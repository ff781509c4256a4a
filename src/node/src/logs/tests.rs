//! Rows: files, options, and the text that comes.

use super::*;
use std::fs;
use std::io::Write as _;

fn line(second: u32, stream: &str, tag: &str, text: &str) -> String {
    format!("2026-01-01T00:00:{second:02}.000000001Z {stream} {tag} {text}\n")
}

fn a_log(folder: &Path) -> PathBuf {
    let file = folder.join("0.log");
    fs::write(rotated(&file, 2), line(1, "stdout", "F", "one")).unwrap();
    fs::write(rotated(&file, 1), line(2, "stdout", "F", "two") + &line(3, "stderr", "F", "three")).unwrap();
    let parts = line(4, "stdout", "P", "fo") + &line(4, "stdout", "F", "ur");
    fs::write(&file, parts + &line(5, "stdout", "F", "five")).unwrap();
    file
}

async fn all(mut stream: LogStream) -> String {
    let mut text = Vec::new();
    while let Some(chunk) = stream.next().await {
        text.extend_from_slice(&chunk.unwrap());
    }
    String::from_utf8(text).unwrap()
}

async fn check(options: LogOptions, want: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = a_log(folder.path());
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_767_225_605);
    let (_sender, alive) = watch::channel(false);
    assert_eq!(all(read(file, options.clone(), now, alive)).await, want, "{options:?}");
}

#[tokio::test]
async fn options_choose_lines() {
    let of = |change: fn(&mut LogOptions)| {
        let mut options = LogOptions::default();
        change(&mut options);
        options
    };
    check(of(|_| {}), "one\ntwo\nthree\nfour\nfive\n").await;
    check(of(|o| o.tail_lines = Some(0)), "").await;
    check(of(|o| o.tail_lines = Some(1)), "five\n").await;
    check(of(|o| o.tail_lines = Some(4)), "three\nfour\nfive\n").await;
    check(of(|o| o.tail_lines = Some(99)), "one\ntwo\nthree\nfour\nfive\n").await;
    check(of(|o| o.since_seconds = Some(2)), "three\nfour\nfive\n").await;
    check(of(|o| o.limit_bytes = Some(6)), "one\ntw").await;
    check(of(|o| o.stream = Some(Stream::Stderr)), "three\n").await;
    check(
        of(|o| {
            o.timestamps = true;
            o.tail_lines = Some(3);
        }),
        "2026-01-01T00:00:04.000000001Z four\n2026-01-01T00:00:05.000000001Z five\n",
    )
    .await;
}

#[tokio::test]
async fn an_absent_file_has_no_lines_and_a_torn_line_waits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("0.log");
    let read_all = || {
        let (_sender, alive) = watch::channel(false);
        all(read(file.clone(), LogOptions::default(), SystemTime::UNIX_EPOCH, alive))
    };
    assert_eq!(read_all().await, "");
    fs::write(&file, line(1, "stdout", "F", "whole") + "2026-01-01T00:00:02Z stdout F to").unwrap();
    assert_eq!(read_all().await, "whole\n");
}

#[tokio::test]
async fn following_sees_new_lines_over_a_rotation_and_ends_with_the_container() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("0.log");
    fs::write(&file, line(1, "stdout", "F", "a")).unwrap();
    let (alive, receiver) = watch::channel(true);
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let mut stream = read(file.clone(), options, SystemTime::UNIX_EPOCH, receiver);
    let next = async |stream: &mut LogStream| stream.next().await.unwrap().unwrap();
    assert_eq!(next(&mut stream).await, "a\n");
    let append = |text: &str| {
        let mut open = fs::OpenOptions::new().append(true).create(true).open(&file).unwrap();
        open.write_all(line(2, "stdout", "F", text).as_bytes()).unwrap();
    };
    append("b");
    assert_eq!(next(&mut stream).await, "b\n");
    fs::rename(&file, rotated(&file, 1)).unwrap();
    append("c");
    assert_eq!(next(&mut stream).await, "c\n");
    append("last");
    alive.send(false).unwrap();
    assert_eq!(all(stream).await, "last\n");
}

#[test]
fn the_end_of_a_log_can_stand_for_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = a_log(folder.path());
    assert_eq!(last_lines(&file, 80, 9).as_deref(), Some("our\nfive\n"));
    assert_eq!(last_lines(&file, 1, 2048).as_deref(), Some("five\n"));
}
