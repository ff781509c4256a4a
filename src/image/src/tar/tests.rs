//! Tar streams against rows of good and hostile entries.

use super::write::Writer;
use super::*;

fn read_all(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    let mut archive = Archive::new(bytes);
    let mut all = Vec::new();
    while let Some(entry) = archive.next_entry()? {
        let mut content = Vec::new();
        archive.read_to_end(&mut content).map_err(TarError::Read)?;
        all.push((entry, content));
    }
    Ok(all)
}

fn written(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.entry(entry, &mut &content[..]).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(180));
    let mut file = Entry {
        size: 3,
        uid: 3_000_000,
        mode: 0o4755,
        modified: (1_700_000_000, 0),
        ..Entry::new(long.as_str(), Kind::File)
    };
    file.xattrs.insert("security.capability".into(), vec![1, 0, 0, 2, b'\n', b'=']);
    let link = Entry { link: "x".repeat(200).into_bytes(), ..Entry::new("l", Kind::Symlink) };
    let bytes = written(&[(Entry::new("d/", Kind::Folder), b""), (file.clone(), b"abc"), (link.clone(), b"")]);
    let back = read_all(&bytes).unwrap();
    assert_eq!(back.len(), 3);
    assert_eq!(
        (&back[1].0.path, &back[1].1[..], back[1].0.uid, back[1].0.mode),
        (&file.path, &b"abc"[..], 3_000_000, 0o4755)
    );
    assert_eq!(back[1].0.xattrs, file.xattrs);
    assert_eq!(back[2].0.link, link.link);
}

#[test]
fn every_truncation_is_noticed() {
    let bytes = written(&[(Entry { size: 700, ..Entry::new("f", Kind::File) }, &[7; 700])]);
    let end_mark = bytes.len() - 2 * BLOCK;
    for cut in 0..=end_mark {
        assert!(read_all(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(read_all(&bytes).is_ok());
}

#[test]
fn nonsense_is_refused() {
    #[track_caller]
    fn check(change: impl Fn(&mut Vec<u8>), expected: &str) {
        let mut bytes = written(&[(Entry { size: 3, ..Entry::new("f", Kind::File) }, b"abc")]);
        change(&mut bytes);
        let error = read_all(&bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    fn reseal(bytes: &mut [u8]) {
        bytes[148..156].copy_from_slice(b"        ");
        let sum: u32 = bytes[..BLOCK].iter().map(|b| u32::from(*b)).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    check(|b| b[0] = b'g', "checksum");
    check(|b| b[..BLOCK].fill(b'x'), "checksum");
    check(
        |b| {
            b[156] = b'S';
            reseal(b);
        },
        "sparse",
    );
    check(
        |b| {
            b[156] = b'5';
            reseal(b);
        },
        "not a file but has a content",
    );
    check(
        |b| {
            b[156] = b'L';
            b[124..136].copy_from_slice(b"77777777777\0");
            reseal(b);
        },
        "too much",
    );
    check(
        |b| {
            b[124] = 0xff;
            reseal(b);
        },
        "",
    );
}

#[test]
fn pax_records_are_read_strictly() {
    #[track_caller]
    fn check(body: &[u8], good: bool) {
        assert_eq!(read_pax(body, &mut Extended::default()).is_ok(), good, "{}", String::from_utf8_lossy(body));
    }
    check(b"6 a=b\n", true);
    check(b"20 mtime=-1.5000000\n", true);
    check(b"6 a=bc", false);
    check(b"99999999 a=b\n", false);
    check(b"0 a=b\n", false);
    check(b"12 uid=-1000\n", false);
    check(b"18 uid=4294967295\n", false);
    assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
    assert_eq!(time("5"), Some((5, 0)));
}
