use std::io::Write;

use proptest::prelude::*;
use rstest::rstest;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::folder::{Folder, Present};

const ALL: u64 = MAX_SECRET_SIZE;

/// An entry by its bytes, with whatever is to be wrong with it.
#[derive(Clone)]
struct Part {
    name: Vec<u8>,
    /// As the directory has it, if not the same.
    listed: Option<Vec<u8>>,
    flags: u16,
    method: u16,
    attributes: u32,
    packed: Vec<u8>,
    crc: u32,
    size: u32,
    packed_size: u32,
    extra: Vec<u8>,
    /// Where the directory says that it is, if not there.
    at: Option<u32>,
    /// Checksum and size before the data, if not the same.
    local: Option<(u32, u32)>,
    behind: Vec<u8>,
}

fn crc(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1))
        })
    })
}

fn length(data: &[u8]) -> u32 {
    data.len().try_into().unwrap()
}

fn stored(name: &str, data: &[u8]) -> Part {
    Part {
        name: name.into(),
        listed: None,
        flags: 0,
        method: 0,
        attributes: 0o100_644 << 16,
        packed: data.to_vec(),
        crc: crc(data),
        size: length(data),
        packed_size: length(data),
        extra: vec![],
        at: None,
        local: None,
        behind: vec![],
    }
}

/// Packed by the crate's own writer.
fn deflated(name: &str, data: &[u8]) -> Part {
    let whole = packed(&[(name, data, 0o644)]);
    let start = 30 + name.len();
    let end = whole
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    let bytes = whole[start..end].to_vec();
    Part {
        method: 8,
        packed_size: length(&bytes),
        packed: bytes,
        ..stored(name, data)
    }
}

fn packed(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for (name, data, mode) in files {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .unix_permissions(*mode);
        writer.start_file(*name, options).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn archive(parts: Vec<Part>) -> Vec<u8> {
    let (mut bytes, mut directory) = (vec![], vec![]);
    let count = u16::try_from(parts.len()).unwrap();
    for part in parts {
        let at = part.at.unwrap_or(length(&bytes));
        let (crc, size) = part.local.unwrap_or((part.crc, part.size));
        let name_length = u16::try_from(part.name.len()).unwrap();
        let extra_length = u16::try_from(part.extra.len()).unwrap();
        bytes.extend(b"PK\x03\x04\x14\x00");
        bytes.extend(
            [part.flags, part.method, 0, 0x21]
                .iter()
                .flat_map(|n| n.to_le_bytes()),
        );
        bytes.extend(
            [crc, part.packed_size, size]
                .iter()
                .flat_map(|n| n.to_le_bytes()),
        );
        bytes.extend(
            [name_length, extra_length]
                .iter()
                .flat_map(|n| n.to_le_bytes()),
        );
        bytes.extend(&part.name);
        bytes.extend(&part.extra);
        bytes.extend(&part.packed);
        bytes.extend(&part.behind);

        let name = part.listed.unwrap_or(part.name);
        let name_length = u16::try_from(name.len()).unwrap();
        directory.extend(b"PK\x01\x02\x14\x03\x14\x00");
        directory.extend(
            [part.flags, part.method, 0, 0x21]
                .iter()
                .flat_map(|n| n.to_le_bytes()),
        );
        directory.extend(
            [part.crc, part.packed_size, part.size]
                .iter()
                .flat_map(|n| n.to_le_bytes()),
        );
        directory.extend(
            [name_length, extra_length, 0, 0, 0]
                .iter()
                .flat_map(|n| n.to_le_bytes()),
        );
        directory.extend([part.attributes, at].iter().flat_map(|n| n.to_le_bytes()));
        directory.extend(&name);
        directory.extend(&part.extra);
    }
    let end = [length(&directory), length(&bytes)];
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
    bytes.extend([count, count].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend(end.iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend([0, 0]);
    bytes
}

fn files(bytes: &[u8]) -> Vec<(String, bool, Vec<u8>)> {
    match unpack(bytes, ALL).unwrap() {
        Unpacked::Files(files) => files
            .into_iter()
            .map(|file| (file.path, file.executable, file.content.as_bytes().to_vec()))
            .collect(),
        large @ Unpacked::Large { .. } => panic!("{large:?}"),
    }
}

fn one(part: Part) -> Vec<u8> {
    archive(vec![stored("aws/config", b"first"), part])
}

#[test]
fn ordinary_archives() {
    let folder = Part {
        attributes: 0o040_755 << 16,
        ..stored("aws/empty/", b"")
    };
    let run = Part {
        attributes: 0o100_750 << 16,
        ..deflated("aws/bin/run", b"#!/bin/sh")
    };
    let of_dos = Part {
        attributes: 0x20,
        ..stored("aws/dos", b"")
    };
    let marked = Part {
        flags: UTF8,
        ..stored("aws/übung", b"x")
    };
    // As writers that cannot go back do it.
    let descriptor = Part {
        flags: DESCRIPTOR,
        local: Some((0, 0)),
        behind: [
            &b"PK\x07\x08"[..],
            &crc(b"y").to_le_bytes(),
            &1u32.to_le_bytes(),
            &1u32.to_le_bytes(),
        ]
        .concat(),
        ..stored("aws/streamed", b"y")
    };
    let odd = [".DS_Store", "__MACOSX/._x"].map(|name| stored(name, b"m"));
    let mut parts = vec![folder, run, of_dos, marked, descriptor];
    parts.extend(odd);
    let expected = [
        ("aws/bin/run", true, &b"#!/bin/sh"[..]),
        ("aws/dos", false, b""),
        ("aws/übung", false, b"x"),
        ("aws/streamed", false, b"y"),
        (".DS_Store", false, b"m"),
        ("__MACOSX/._x", false, b"m"),
    ];
    let expected = expected.map(|(name, run, data)| (name.to_owned(), run, data.to_vec()));
    assert_eq!(files(&archive(parts)), expected);
    assert_eq!(files(&archive(vec![])), []);
}

/// Made by Python as `tests/fixtures/folders/make.py` says.
#[rstest]
#[case::as_the_client_does_it(include_bytes!("../../../tests/fixtures/folders/payload.zip"))]
#[case::by_shutil(include_bytes!("../../../tests/fixtures/folders/shutil.zip"))]
fn archives_of_python(#[case] bytes: &[u8]) {
    let expected = [
        ("project/README", false, "hello\n"),
        (
            "project/aws/config",
            false,
            "[default]\nregion = eu-central-1\n",
        ),
        ("project/bin/run.sh", true, "#!/bin/sh\necho run\n"),
        ("project/gcp/config", false, "[core]\n"),
        ("project/notes/übung 1.txt", false, "ü\n"),
    ];
    let mut found = files(bytes);
    found.sort();
    assert_eq!(
        found,
        expected.map(|(name, run, data)| (name.to_owned(), run, data.into()))
    );
}

#[rstest]
#[case::absolute("/etc/passwd", Problem::Absolute)]
#[case::upwards("../../etc/passwd", Problem::Parent)]
#[case::upwards_inside("aws/../../x", Problem::Parent)]
#[case::of_the_kubelet("..data/x", Problem::Parent)]
#[case::dot("aws/./x", Problem::EmptyPart)]
#[case::double_slash("aws//x", Problem::EmptyPart)]
#[case::no_name("", Problem::EmptyPart)]
#[case::root("/", Problem::EmptyPart)]
#[case::nul("aws/x\0.txt", Problem::Unusable)]
#[case::backslash("aws\\x", Problem::Backslash)]
#[case::backslash_upwards("..\\x", Problem::Backslash)]
#[case::drive("C:/x", Problem::Drive)]
#[case::drive_without_a_slash("c:x", Problem::Drive)]
#[case::not_marked("aws/ü", Problem::NotUtf8)]
#[case::long_part(&"x".repeat(256), Problem::Unusable)]
#[case::long_path(&"xy/".repeat(1000), Problem::Unusable)]
#[case::twice("aws/config", Problem::Twice)]
#[case::a_folder_called_like_a_file("aws/config/", Problem::Twice)]
fn names(#[case] name: &str, #[case] expected: Problem) {
    let mut part = stored(name, b"");
    if name.ends_with('/') {
        part.attributes = 0o040_755 << 16;
    }
    let error = unpack(&one(part), ALL).unwrap_err();
    let ArchiveError::Entry {
        name: told,
        problem,
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(*problem, expected);
    let start: String = name.trim_end_matches('/').chars().take(90).collect();
    assert!(
        told.starts_with(&start) && told.chars().count() <= TOLD,
        "{told:?}"
    );
}

fn broken(change: impl FnOnce(&mut Part)) -> Vec<u8> {
    let mut part = deflated("aws/x", &b"hunter2 ".repeat(1000));
    change(&mut part);
    one(part)
}

/// Info-ZIP's field with another name, which some readers take.
fn unicode_path(name: &[u8], other: &[u8]) -> Vec<u8> {
    let length = u16::try_from(5 + other.len()).unwrap().to_le_bytes();
    [b"up", &length[..], &[1], &crc(name).to_le_bytes(), other].concat()
}

#[rstest]
#[case::not_utf8(broken(|part| part.name = b"aws/\xff".to_vec()), Problem::NotUtf8)]
#[case::not_utf8_but_marked(broken(|part| { part.name = b"aws/\xff".to_vec(); part.flags = UTF8; }), Problem::NotUtf8)]
#[case::encrypted(broken(|part| part.flags = 1), Problem::Encrypted)]
#[case::strongly_encrypted(broken(|part| part.flags = 1 | 1 << 6), Problem::Encrypted)]
#[case::masked(broken(|part| part.flags = 1 << 13), Problem::Encrypted)]
#[case::patched(broken(|part| part.flags = PATCHED), Problem::Method)]
#[case::lzma(broken(|part| part.method = 14), Problem::Method)]
#[case::aes(broken(|part| part.method = 99), Problem::Method)]
#[case::deflate64(broken(|part| part.method = 9), Problem::Method)]
#[case::link(broken(|part| part.attributes = 0o120_777 << 16), Problem::Link)]
#[case::device(broken(|part| part.attributes = 0o060_644 << 16), Problem::Special)]
#[case::pipe(broken(|part| part.attributes = 0o010_644 << 16), Problem::Special)]
#[case::socket(broken(|part| part.attributes = 0o140_644 << 16), Problem::Special)]
#[case::folder_as_a_file(broken(|part| part.attributes = 0o040_755 << 16), Problem::Special)]
#[case::file_as_a_folder(broken(|part| part.name = b"aws/x/".to_vec()), Problem::Special)]
#[case::folder_with_content(broken(|part| { part.name = b"aws/x/".to_vec(); part.attributes = 0o040_755 << 16; }), Problem::Content)]
#[case::larger_than_it_says(broken(|part| part.size -= 1), Problem::Damaged)]
#[case::far_larger_than_it_says(broken(|part| part.size = 1), Problem::Damaged)]
#[case::with_the_checksum_of_its_head(broken(|part| { part.size = 1; part.crc = crc(b"h"); }), Problem::Damaged)]
#[case::smaller_than_it_says(broken(|part| part.size += 1), Problem::Size)]
#[case::another_checksum(broken(|part| part.crc ^= 1), Problem::Damaged)]
#[case::damaged(broken(|part| part.packed[0] = 0xff), Problem::Damaged)]
#[case::another_name_before_it(broken(|part| part.listed = Some(b"aws/y".to_vec())), Problem::Contradiction)]
#[case::another_name_behind_it(broken(|part| part.extra = unicode_path(&part.name, b"aws/y")), Problem::Contradiction)]
#[case::another_size_before_it(broken(|part| part.local = Some((part.crc, part.size + 1))), Problem::Contradiction)]
#[case::another_checksum_before_it(broken(|part| part.local = Some((1, part.size))), Problem::Contradiction)]
#[case::nothing_there(broken(|part| part.at = Some(1)), Problem::Contradiction)]
#[case::behind_the_end(broken(|part| part.at = Some(0x7fff_ffff)), Problem::Contradiction)]
#[case::into_the_directory(broken(|part| part.packed_size += 1), Problem::Overlap)]
#[case::bomb(one(deflated("aws/x", &vec![0; 4 * 1024 * 1024])), Problem::Ratio)]
fn entries(#[case] bytes: Vec<u8>, #[case] expected: Problem) {
    let error = unpack(&bytes, ALL).unwrap_err();
    assert!(
        matches!(&error, ArchiveError::Entry { name, problem } if *problem == expected && name.starts_with("aws/")),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains("aws/") && !text.contains("hunter2"), "{text}");
}

/// The head of the second entry lies in the data of the first, so that the data of both is one.
/// <https://www.bamsoftware.com/hacks/zipbomb/>
#[test]
fn entries_that_overlap() {
    let inner = archive(vec![stored("aws/in", b"x")]);
    let length = inner
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    let outer = stored("aws/out", &inner[..length]);
    let start = u32::try_from(30 + outer.name.len()).unwrap();
    let hidden = Part {
        at: Some(start),
        ..stored("aws/in", b"x")
    };
    let mut bytes = archive(vec![outer, hidden]);
    // What the second wrote is cut out.
    let second = 30 + 6 + 1;
    let directory = bytes
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    bytes.drain(directory - second..directory);
    let end = bytes.len() - 22;
    let place = u32::try_from(directory - second).unwrap();
    bytes[end + 16..end + 20].copy_from_slice(&place.to_le_bytes());
    assert_eq!(
        unpack(&bytes, ALL),
        Err(ArchiveError::Entry {
            name: "aws/out".to_owned(),
            problem: Problem::Overlap
        })
    );
}

#[test]
fn one_content_for_two_names() {
    let mut parts = vec![stored("a", b"xx"), stored("b", b"xx")];
    parts[1].listed = Some(b"a2".to_vec());
    parts[1].at = Some(0);
    assert!(matches!(
        unpack(&archive(parts), ALL),
        Err(ArchiveError::Entry {
            problem: Problem::Contradiction,
            ..
        })
    ));
}

fn changed(change: impl FnOnce(&mut Vec<u8>, usize)) -> Vec<u8> {
    let mut bytes = archive(vec![stored("aws/config", b"hunter2")]);
    let end = bytes.len() - 22;
    change(&mut bytes, end);
    bytes
}

fn zip64_field(mut part: Part) -> Part {
    part.extra = [
        &b"\x01\x00\x10\x00"[..],
        &u64::MAX.to_le_bytes(),
        &7u64.to_le_bytes(),
    ]
    .concat();
    part
}

#[rstest]
#[case::nothing(vec![], ArchiveError::NoArchive)]
#[case::text(b"hunter2".repeat(10), ArchiveError::NoArchive)]
#[case::gzip(b"\x1f\x8b\x08\x00".repeat(10), ArchiveError::NoArchive)]
#[case::cut_in_the_middle(changed(|bytes, end| bytes.truncate(end - 20)), ArchiveError::CutOff)]
#[case::cut_at_the_end(changed(|bytes, _| { bytes.pop(); }), ArchiveError::Surplus)]
#[case::one_byte_behind(changed(|bytes, _| bytes.push(0)), ArchiveError::Surplus)]
#[case::comment(changed(|bytes, end| { bytes[end + 20] = 4; bytes.extend(b"note"); }), ArchiveError::Surplus)]
#[case::an_archive_in_the_comment(changed(|bytes, end| { let whole = bytes.clone(); bytes[end + 20] = u8::try_from(whole.len()).unwrap(); bytes.extend(whole); }), ArchiveError::Surplus)]
#[case::before(changed(|bytes, _| { bytes.splice(..0, *b"#!/bin/sh\n"); }), ArchiveError::Surplus)]
#[case::before_and_counted(changed(|bytes, end| { bytes[end + 16] += 4; bytes.splice(..0, *b"PK\x03\x04"); }), ArchiveError::Entry { name: "aws/config".into(), problem: Problem::Contradiction })]
#[case::between_files(archive(vec![Part { behind: b"hidden".to_vec(), ..stored("a", b"") }]), ArchiveError::Surplus)]
#[case::directory_elsewhere(changed(|bytes, end| bytes[end + 16] += 1), ArchiveError::Surplus)]
#[case::directory_too_short(changed(|bytes, end| { bytes[end + 12] -= 1; bytes[end + 16] += 1; }), ArchiveError::Directory)]
#[case::fewer_entries(changed(|bytes, end| { bytes[end + 8] = 0; bytes[end + 10] = 0; }), ArchiveError::Directory)]
#[case::more_entries(changed(|bytes, end| { bytes[end + 8] = 2; bytes[end + 10] = 2; }), ArchiveError::Directory)]
#[case::counts_differ(changed(|bytes, end| bytes[end + 8] = 2), ArchiveError::Part)]
#[case::second_disk(changed(|bytes, end| bytes[end + 4] = 1), ArchiveError::Part)]
#[case::zip64_count(changed(|bytes, end| bytes[end + 8..end + 12].fill(0xff)), ArchiveError::Zip64)]
#[case::zip64_place(changed(|bytes, end| bytes[end + 16..end + 20].fill(0xff)), ArchiveError::Zip64)]
#[case::zip64_size_of_an_entry(archive(vec![Part { size: u32::MAX, ..stored("a", b"") }]), ArchiveError::Zip64)]
#[case::zip64_field(archive(vec![zip64_field(stored("a", b"xxxxxxx"))]), ArchiveError::Zip64)]
#[case::zip64_locator(changed(|bytes, end| { bytes.splice(end..end, [&b"PK\x06\x07"[..], &[0; 16]].concat()); bytes[end + 20 + 12] += 20; }), ArchiveError::Zip64)]
#[case::too_many(archive((0..=MAX_ENTRIES).map(|number| stored(&number.to_string(), b"")).collect()), ArchiveError::Entries(MAX_ENTRIES + 1))]
#[case::too_much(archive((0..20).map(|number| deflated(&number.to_string(), &vec![b'x'; 1024 * 1024])).collect()), ArchiveError::Bomb)]
fn archives(#[case] bytes: Vec<u8>, #[case] expected: ArchiveError) {
    let error = unpack(&bytes, ALL).unwrap_err();
    assert_eq!(error, expected);
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn every_truncation_is_refused() {
    let bytes = packed(&[("a/b", b"some text, some text", 0o644), ("a/c", b"", 0o755)]);
    for length in 0..bytes.len() {
        assert!(unpack(&bytes[..length], ALL).is_err(), "{length}");
    }
}

#[test]
fn an_archive_in_an_archive_stays_one() {
    let inner = packed(&[("x", b"y", 0o644)]);
    let outer = packed(&[("a/inner.zip", &inner, 0o644)]);
    assert_eq!(files(&outer), [("a/inner.zip".to_owned(), false, inner)]);
}

#[test]
fn what_no_secret_holds_is_only_measured() {
    let bytes = packed(&[
        ("a", &vec![b'x'; 700_000], 0o644),
        ("b", &vec![b'y'; 700_000], 0o644),
    ]);
    assert_eq!(
        unpack(&bytes, u64::MAX),
        Ok(Unpacked::Large { total: 1_400_000 })
    );
    assert_eq!(unpack(&bytes, 0), Ok(Unpacked::Large { total: 1_400_000 }));
    // And is refused where something is wrong with it.
    let mut part = deflated("b", &vec![b'y'; 700_000]);
    part.crc ^= 1;
    let bytes = archive(vec![deflated("a", &vec![b'x'; 700_000]), part]);
    assert!(unpack(&bytes, ALL).is_err());
}

/// Every byte of an archive, turned around: nothing panics, and nothing but the files comes out.
#[test]
fn flipped_bits() {
    let bytes = packed(&[
        ("a/b", b"some text, some text", 0o644),
        ("a/c", b"x", 0o755),
    ]);
    let texts = [b"some text, some text".to_vec(), b"x".to_vec()];
    for at in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        if let Ok(Unpacked::Files(files)) = unpack(&bytes, ALL) {
            let found: Vec<_> = files
                .iter()
                .map(|file| file.content.as_bytes().to_vec())
                .collect();
            assert_eq!(found, texts, "{at}");
        }
    }
}

fn tree() -> impl Strategy<Value = Vec<(String, bool, Vec<u8>)>> {
    let path = prop::collection::vec("[a-cé._-]{1,3}", 1..4).prop_map(|parts| parts.join("/"));
    prop::collection::vec(
        (
            path,
            any::<bool>(),
            prop::collection::vec(any::<u8>(), 0..200),
        ),
        1..12,
    )
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _refused = unpack(&bytes, ALL);
    }

    #[test]
    fn arbitrary_bytes_in_an_archive(mut bytes in tree().prop_map(|tree| {
        archive(tree.iter().map(|(path, _, data)| deflated(path, data)).collect())
    }), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let _maybe_refused = unpack(&bytes, ALL);
    }

    #[test]
    fn a_tree_comes_out_as_it_went_in(tree in tree()) {
        let valid = tree.iter().map(|(path, executable, data)| File {
            path: path.clone(),
            executable: *executable,
            content: Value::from(Zeroizing::new(data.clone())),
        });
        let Ok(folder) = Folder::new(valid.collect(), &Present::default()) else { return Ok(()) };
        let entries: Vec<_> = tree.iter().map(|(path, executable, data)| {
            (path.as_str(), data.as_slice(), if *executable { 0o755 } else { 0o644 })
        }).collect();
        let Unpacked::Files(files) = unpack(&packed(&entries), ALL).unwrap() else { panic!("small") };
        prop_assert!(Folder::new(files, &Present::default()).unwrap() == folder);
    }
}
