//! Cutting files into units.

use std::io::{BufRead, BufReader, Read, Write as _};

use distill::pipeline::source::{ReadError, Unit, UnitKind, UnitReader, decode};
use proptest::prelude::*;

fn cut(bytes: &[u8], kind: UnitKind, at: Option<&str>) -> Vec<Unit> {
    let whole = collect(&mut &*bytes, kind, at);
    // The same through a buffer of one byte: no unit may depend on where a read ends.
    let mut tiny = BufReader::with_capacity(1, bytes);
    assert_eq!(collect(&mut tiny, kind, at), whole, "{}", String::from_utf8_lossy(bytes));
    whole
}

fn collect(input: &mut dyn BufRead, kind: UnitKind, at: Option<&str>) -> Vec<Unit> {
    let mut reader = UnitReader::new(input, kind, at);
    std::iter::from_fn(|| reader.next_unit().expect("memory does not fail")).collect()
}

/// Text, offset, and whether anything is odd: `~` unterminated, `!` broken container.
fn shown(units: &[Unit]) -> Vec<String> {
    units
        .iter()
        .enumerate()
        .map(|(n, unit)| {
            assert_eq!(unit.number, n as u64);
            let odd = match (unit.terminated, unit.flags.broken_container) {
                (true, false) => "",
                (false, false) => "~",
                (_, true) => "!",
            };
            let key = unit.key.as_deref().map(|key| format!("{key}=")).unwrap_or_default();
            format!("{}:{key}{}{odd}", unit.offset, String::from_utf8_lossy(&unit.bytes))
        })
        .collect()
}

#[test]
fn lines_lose_their_ending_and_nothing_else() {
    let lines = |text: &str| shown(&cut(text.as_bytes(), UnitKind::Line, None));
    assert_eq!(lines("a\nb\r\n\n c \r\r\nd"), ["0:a", "2:b", "5:", "6: c \r", "12:d~"]);
    assert_eq!(lines("a\r"), ["0:a\r~"], "a lone return is no ending");
    assert_eq!(lines(""), Vec::<String>::new());
    assert_eq!(lines("\n"), ["0:"]);
    let bytes = cut(b"\xff\x00\n", UnitKind::Line, None);
    assert_eq!(bytes[0].bytes, b"\xff\x00", "bytes need not be text");
}

#[test]
fn a_grown_file_is_read_on_from_its_last_complete_line() {
    let text = b"one\ntwo\nthr";
    let first = cut(text, UnitKind::Line, None);
    let last = first.last().expect("three lines");
    assert!(!last.terminated);
    let grown = b"one\ntwo\nthree\nfour\n";
    let mut rest = &grown[usize::try_from(last.offset).expect("small")..];
    let mut reader = UnitReader::line_at(&mut rest, last.number, last.offset);
    let mut resumed = Vec::new();
    while let Some(unit) = reader.next_unit().expect("memory") {
        assert!(unit.terminated);
        resumed.push(unit);
    }
    assert_eq!(reader.offset(), grown.len() as u64);
    assert_eq!(resumed, cut(grown, UnitKind::Line, None)[2..]);
}

/// An archive with these files, as Inspect packs one.
fn archive(files: &[(&str, &str)], method: zip::CompressionMethod) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        writer.start_file(*name, options).expect("started");
        writer.write_all(text.as_bytes()).expect("written");
    }
    writer.finish().expect("an archive").into_inner()
}

/// The text that a decoder makes of the bytes of `a.eval`, or whether it calls them damaged.
fn unpacked(bytes: &[u8]) -> Result<String, bool> {
    let mut input = decode::decoder("logs/a.eval", bytes).expect("a decoder");
    let mut text = String::new();
    input.read_to_string(&mut text).map(|_| text).map_err(|e| decode::is_bad_compression(&e))
}

#[test]
fn an_eval_archive_is_the_log_that_was_packed() {
    let files = [
        ("_journal/start.json", "{\"status\":\"started\"}"),
        ("samples/2_epoch_1.json", " {\"id\": 2}\n"),
        ("samples/1_epoch_1.json", "{\"id\":1}"),
        ("summaries.json", "[9]"),
        ("header.json", "{\"status\": \"success\" }\n"),
    ];
    for method in
        [zip::CompressionMethod::Deflated, zip::CompressionMethod::Zstd, zip::CompressionMethod::Stored]
    {
        let packed = archive(&files, method);
        let log = r#"{"status": "success" ,"samples":[ {"id": 2}"#.to_owned() + "\n,{\"id\":1}]}";
        assert_eq!(unpacked(&packed), Ok(log), "{method}");
        let mut input = decode::decoder("a.eval", &packed[..]).expect("a decoder");
        let mut reader = UnitReader::new(&mut *input, UnitKind::Element, Some(".samples")).with_beside();
        let units = std::iter::from_fn(|| reader.next_unit().expect("sound"));
        let units: Vec<_> = units.map(|u| String::from_utf8(u.bytes).expect("UTF-8")).collect();
        assert_eq!(units, ["{\"id\": 2}", "{\"id\":1}", "{\"status\": \"success\" ,\"samples\":[]}"]);
        for cut in [5, packed.len() / 2, packed.len() - 3] {
            assert_eq!(unpacked(&packed[..cut]), Err(true), "{method}, cut at {cut}");
        }
    }
    // Broken off before the header was written; nothing scored; no log at all; and a name that means something else.
    let deflated = |files: &[(&str, &str)]| archive(files, zip::CompressionMethod::Deflated);
    assert_eq!(unpacked(&deflated(&files[..1])), Ok(r#"{"status":"started","samples":[]}"#.to_owned()));
    assert_eq!(unpacked(&deflated(&[("header.json", "{}")])), Ok(r#"{"samples":[]}"#.to_owned()));
    assert_eq!(unpacked(&deflated(&[("header.json", "[]")])), Err(true));
    assert_eq!(unpacked(&deflated(&[("a.txt", "")])), Err(true));
    assert_eq!(unpacked(b"{\"a\":1}\n"), Ok("{\"a\":1}\n".to_owned()));
}

#[test]
fn elements_are_cut_at_any_depth() {
    let elements = |text: &str, at| shown(&cut(text.as_bytes(), UnitKind::Element, at));
    assert_eq!(
        elements(" [ {\"a\":[1,2]} ,\"x,]\\\"\", 3,true,[[]]]\n", None),
        ["3:{\"a\":[1,2]}", "16:\"x,]\\\"\"", "25:3", "27:true", "32:[[]]"]
    );
    assert_eq!(elements("[]", None), Vec::<String>::new());
    assert_eq!(
        elements(r#"{"x":[9],"d\u0061ta":{"s":"]","items":[1, 2 ]},"y":[3]}"#, Some(".data.items")),
        ["39:1", "42:2"],
        "a key is compared unescaped; what follows the array is not ours"
    );
    let values = shown(&cut(br#"{"m":{"k\n":{"a":1} , "":[2]}}"#, UnitKind::Value, Some(".m")));
    assert_eq!(values, ["12:k\n={\"a\":1}", "25:=[2]"]);
    assert_eq!(shown(&cut(b" {\"a\": 1}\n", UnitKind::File, None)), ["0: {\"a\": 1}\n"], "exactly as read");
}

#[test]
fn what_cannot_be_cut_is_handed_out_whole() {
    let elements = |text: &str, at| shown(&cut(text.as_bytes(), UnitKind::Element, at));
    for (text, expected) in [
        ("[1,2", vec!["1:1", "3:2"]),
        ("[1,{\"a\":", vec!["1:1", "3:{\"a\":!"]),
        ("[1 2,3]", vec!["1:1", "3:2,3]!"]),
        ("[1,,2]", vec!["1:1", "3:,2]!"]),
        ("[1,]", vec!["1:1", "3:]!"]),
        ("[1] x ", vec!["1:1", "4:x!"]),
        ("[\"a", vec!["1:\"a!"]),
        ("{\"a\":1}", vec!["0:{\"a\":1}!"]),
        ("", vec![]),
        (" \n", vec![]),
    ] {
        assert_eq!(elements(text, None), expected, "{text}");
    }
    let missing = r#" {"other":[1,2]}"#;
    assert_eq!(
        elements(missing, Some(".items")),
        [format!("0:{missing}!")],
        "no such member: the file, whole"
    );
    assert_eq!(
        elements(r#"{"items":{"a":1}}"#, Some(".items")),
        ["0:{\"items\":{\"a\":1}}!"],
        "not an array"
    );
    let values = |text: &str| shown(&cut(text.as_bytes(), UnitKind::Value, None));
    assert_eq!(values(r#"{"a":1,"b" 2}"#), ["5:a=1", "7:\"b\" 2}!"]);
    assert_eq!(values(r#"{"a":1,b:2}"#), ["5:a=1", "7:b:2}!"]);
    assert_eq!(values(r#"{"a":}"#), ["1:\"a\":}!"]);
}

#[test]
fn sizes_are_bounded() {
    let text = b"123456\n1234567\n12345678\n1\n";
    let mut input = &text[..];
    let mut reader = UnitReader::new(&mut input, UnitKind::Line, None).with_sizes(6, 8);
    let first = reader.next_unit().expect("small").expect("a line");
    assert!(!first.flags.too_large);
    let second = reader.next_unit().expect("large, but held").expect("a line");
    assert!(second.flags.too_large && second.bytes == b"1234567");
    match reader.next_unit() {
        Err(ReadError::TooLarge { number: 2, offset: 15 }) => {}
        other => panic!("{other:?}"),
    }
    let mut input = &b"[1,[2,3,4,5]]"[..];
    let mut reader = UnitReader::new(&mut input, UnitKind::Element, None).with_sizes(6, 8);
    assert!(reader.next_unit().expect("small").is_some());
    assert!(matches!(reader.next_unit(), Err(ReadError::TooLarge { number: 1, offset: 3 })));
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[ -~\u{e9}\n\"\\\\\\[\\]{},:]{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
            proptest::collection::btree_map("[a-c\"\\\\]{0,3}", inner, 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_array_is_cut_into_its_elements(items in proptest::collection::vec(any_json(), 0..6), pretty: bool) {
        let array = serde_json::Value::Array(items.clone());
        let text = if pretty { serde_json::to_string_pretty(&array) } else { serde_json::to_string(&array) };
        let units = cut(text.expect("JSON").as_bytes(), UnitKind::Element, None);
        let parsed: Vec<serde_json::Value> =
            units.iter().map(|u| serde_json::from_slice(&u.bytes).expect("an element")).collect();
        prop_assert_eq!(parsed, items);
        prop_assert!(units.iter().all(|u| !u.flags.broken_container));
    }

    #[test]
    fn no_byte_of_a_damaged_array_is_lost(
        items in proptest::collection::vec(any_json(), 0..4), at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut text = serde_json::to_vec(&items).expect("JSON");
        let at = at.index(text.len());
        text[at] = byte;
        let units = cut(&text, UnitKind::Element, None);
        // What lies between the units is punctuation of the array itself.
        let mut end = 0;
        for unit in &units {
            let start = usize::try_from(unit.offset).expect("small");
            prop_assert!(text[end..start].iter().all(|b| b" \t\r\n[],".contains(b)), "{:?}", text);
            prop_assert_eq!(&text[start..start + unit.bytes.len()], &unit.bytes[..]);
            end = start + unit.bytes.len();
        }
        prop_assert!(text[end..].iter().all(|b| b" \t\r\n[],".contains(b)), "{:?}", text);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn packed_files_are_unpacked_by_their_ending() {
    let text = b"one\ntwo\n";
    let mut members = gzip(b"one\n");
    members.extend(gzip(b"two\n"));
    let packed = [
        ("a.jsonl", text.to_vec()),
        ("a.jsonl.gz", gzip(text)),
        ("b.gz", members),
        ("c.zst", zstd::stream::encode_all(&text[..], 3).expect("memory")),
        ("dir.gz/plain", text.to_vec()),
    ];
    for (name, bytes) in packed {
        let mut input = decode::decoder(name, &bytes[..]).expect("a decoder");
        assert_eq!(shown(&collect(&mut *input, UnitKind::Line, None)), ["0:one", "4:two"], "{name}");
    }
}

#[test]
fn a_damaged_stream_is_told_from_a_failing_disk() {
    let text: Vec<u8> = (0..20_000_u32)
        .flat_map(|n| format!("{{\"n\":{}}}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
        .collect();
    let packed = [("a.gz", gzip(&text)), ("a.zst", zstd::stream::encode_all(&text[..], 3).expect("memory"))];
    for (name, bytes) in packed {
        for damaged in [&bytes[..bytes.len() / 2], &b"not packed at all"[..]] {
            let mut input = decode::decoder(name, damaged).expect("a decoder");
            let mut reader = UnitReader::new(&mut *input, UnitKind::Line, None);
            let mut units = 0;
            let error = loop {
                match reader.next_unit() {
                    Ok(Some(_)) => units += 1,
                    Ok(None) => panic!("{name}: the damage went unnoticed"),
                    Err(error) => break error,
                }
            };
            let ReadError::Read { units: said, source, .. } = &error else { panic!("{error}") };
            assert_eq!(*said, units, "{error}");
            assert!(decode::is_bad_compression(source), "{name}: {error}");
        }
        let mut input = decode::decoder(name, bytes[..40].chain(FailingDisk)).expect("a decoder");
        let mut reader = UnitReader::new(&mut *input, UnitKind::Line, None);
        let error = loop {
            match reader.next_unit() {
                Ok(unit) => assert!(unit.is_some(), "{name}: the failure went unnoticed"),
                Err(ReadError::Read { source, .. }) => break source,
                Err(other) => panic!("{other}"),
            }
        };
        assert!(!decode::is_bad_compression(&error), "{name}: {error}");
    }
}

struct FailingDisk;

impl Read for FailingDisk {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the disk is on fire"))
    }
}
