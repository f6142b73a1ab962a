use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::error::ErrorKind;

const FORMATS: [SerializationFormat; 3] = SerializationFormat::ALL;

fn decoded(format: SerializationFormat, text: &[u8]) -> Json {
    decode(format, text).unwrap()
}

fn yaml(text: &str) -> Json {
    decoded(SerializationFormat::Yaml, text.as_bytes())
}

fn refusal(format: SerializationFormat, bytes: &[u8]) -> String {
    let error = decode::<Json>(format, bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.to_string()
}

/// Values of every kind, with strings and names that look like something else.
fn values() -> impl Strategy<Value = Json> {
    let text = prop_oneof![
        any::<String>(),
        "[ -~]{0,12}",
        "[\\[\\]{}:,#&*!|>'\"%@`~?-][ a]{0,3}",
        proptest::sample::select(vec![
            "",
            " ",
            "null",
            "~",
            "Yes",
            "off",
            "1",
            "-1",
            "1e5",
            "0x1f",
            ".5",
            "2026-01-31",
            "---",
            "...",
            "<<",
            "=",
            "a: b",
            "a #b",
            "- a",
            "? a",
            "\u{feff}a",
            "\u{85}",
            "\u{2028}",
            "\u{fffe}",
            "\u{7f}",
        ])
        .prop_map(str::to_owned),
        "[a-z ]{120,140}",
        "[é\n]{1000,1100}",
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<i8>().prop_map(Json::from),
        any::<u16>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        text.clone().prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 48, 20, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Json::from),
            prop::collection::btree_map(text.clone(), inner, 0..20)
                .prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_comes_back_in_every_format(value in values()) {
        for format in FORMATS {
            let bytes = encode(format, &value).unwrap();
            prop_assert_eq!(&decoded(format, &bytes), &value, "{}: {}", format, String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn another_reader_reads_our_yaml(value in values()) {
        let bytes = encode(SerializationFormat::Yaml, &value).unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        let read: Json = serde_saphyr::from_str(text).unwrap();
        prop_assert_eq!(numbers(read), numbers(value), "{}", text);
    }

    #[test]
    fn another_reader_and_writer_agree_on_msgpack(value in values()) {
        let bytes = encode(SerializationFormat::MsgPack, &value).unwrap();
        prop_assert_eq!(&rmp_serde::from_slice::<Json>(&bytes).unwrap(), &value);
        let theirs = rmp_serde::to_vec(&value).unwrap();
        prop_assert_eq!(&theirs, &bytes);
    }

    #[test]
    fn no_bytes_upset_a_decoder(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for format in FORMATS {
            let _ = decode::<Json>(format, &bytes);
        }
        let _ = decode_metadata(&bytes);
    }

    #[test]
    fn no_text_upsets_the_yaml_reader(text in "[ \n\\-:?&*!|>'\"%@`a1\\[\\]{},#~.]{0,60}") {
        let _ = decode::<Json>(SerializationFormat::Yaml, text.as_bytes());
    }

    #[test]
    fn metadata_tells_its_format(fields in prop::collection::btree_map("[a-z]{0,3}", values(), 0..20)) {
        let metadata: Metadata = fields.into_iter().collect();
        for format in FORMATS {
            let bytes = encode_metadata(format, &metadata).unwrap();
            prop_assert_eq!(decode_metadata(&bytes).unwrap(), metadata.clone());
        }
    }
}

/// That reader takes whole numbers that are written as floats for whole ones.
fn numbers(value: Json) -> Json {
    match value {
        Json::Number(number) => number.as_f64().map_or(Json::Null, Json::from),
        Json::Array(items) => items.into_iter().map(numbers).collect(),
        Json::Object(fields) => {
            Json::Object(fields.into_iter().map(|(name, field)| (name, numbers(field))).collect())
        }
        other => other,
    }
}

fn nested(levels: usize) -> Json {
    (1..levels)
        .fold(json!([]), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"o": inner}) })
}

#[test]
fn what_is_nested_too_deep_is_refused_both_ways() {
    for format in FORMATS {
        let deepest = nested(MAX_DEPTH);
        let bytes = encode(format, &deepest).unwrap();
        assert_eq!(decoded(format, &bytes), deepest);
        let error = encode(format, &nested(MAX_DEPTH + 1)).unwrap_err();
        assert!(error.to_string().contains("127"), "{error}");
    }
    let depth = MAX_DEPTH + 1;
    refusal(SerializationFormat::Json, "[".repeat(100_000).as_bytes());
    refusal(SerializationFormat::Yaml, ["[".repeat(depth), "]".repeat(depth)].concat().as_bytes());
    refusal(SerializationFormat::Yaml, "- ".repeat(100_000).as_bytes());
    refusal(SerializationFormat::Yaml, "[".repeat(100_000).as_bytes());
    refusal(SerializationFormat::MsgPack, &[vec![0x91; depth], vec![0xc0]].concat());
    refusal(SerializationFormat::MsgPack, &vec![0x91; 100_000]);
}

#[test]
fn lengths_are_not_believed() {
    for claimed in [
        [0xdd, 0xff, 0xff, 0xff, 0xff],
        [0xdf, 0x7f, 0xff, 0xff, 0xff],
        [0xdb, 0xff, 0xff, 0xff, 0xff],
        [0xc6, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert!(refusal(SerializationFormat::MsgPack, &claimed).contains("too early"));
    }
}

#[test]
fn aliases_repeat_within_bounds() {
    assert_eq!(
        yaml("a: &x {p: 1}\nb: *x\nc: [*x, *x]\n"),
        json!({"a":{"p":1},"b":{"p":1},"c":[{"p":1},{"p":1}]})
    );
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        bomb += &format!("a{level}: &a{level} [{alias}]\n");
    }
    assert!(refusal(SerializationFormat::Yaml, bomb.as_bytes()).contains("repeat too much"));
    let mut deep = String::from("- &a0 []\n");
    for level in 1..200 {
        deep += &format!("- &a{level} [*a{}]\n", level - 1);
    }
    refusal(SerializationFormat::Yaml, deep.as_bytes());
    refusal(SerializationFormat::Yaml, b"&a [*a]");
    refusal(SerializationFormat::Yaml, b"[*nothing]");
}

#[test]
fn yaml_as_people_write_it() {
    let text = "\
# the router
storage:
  connector: modelmesh.local-file.v1   # ours
  persistence: { sync_policy: immediate, compression: yes }
  prompt: |
    first
    second
  folded: >-
    one
    line
? explicit
: !!str 5
list:
- 1
- 'two'
- \"th\\u0072ee\"
-
1: a
";
    let expected = json!({
        "storage": {
            "connector": "modelmesh.local-file.v1",
            "persistence": {"sync_policy": "immediate", "compression": "yes"},
            "prompt": "first\nsecond\n",
            "folded": "one line",
        },
        "explicit": "5",
        "list": [1, "two", "three", null],
        "1": "a",
    });
    assert_eq!(yaml(text), expected);
    assert_eq!(yaml(""), Json::Null);
    assert_eq!(yaml("--- 5\n...\n"), json!(5));
    assert_eq!(yaml("! 5"), json!("5"));
    assert_eq!(yaml("!!int 5"), json!(5));
    assert_eq!(yaml("!!float 5"), json!(5));
    assert_eq!(yaml("!!seq []"), json!([]));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let told = |text: &str| refusal(SerializationFormat::Yaml, text.as_bytes());
    assert!(told("a: 1\nb: 2\na: 3\n").contains("'a' is there twice at line 3 column 1"));
    assert!(told("a: 1\nb: [1, 2\n").contains("line"));
    assert!(told("--- 1\n--- 2\n").contains("second document"));
    assert!(told("a: !color red").contains("!color"));
    assert!(told("a: !!int red").contains("int"));
    assert!(told("a: .nan").contains("no number at line 1 column 4"));
    assert!(told("[a]: 1").contains("no string"));
    assert!(refusal(SerializationFormat::Yaml, b"a: \xff").contains("byte 3"));
    assert!(refusal(SerializationFormat::Json, b"{\"a\":}").contains("line 1 column 6"));
    assert!(refusal(SerializationFormat::MsgPack, b"\xc1").contains("byte 1"));
    assert!(refusal(SerializationFormat::MsgPack, b"\xc0\xc0").contains("byte 1"));
    assert!(refusal(SerializationFormat::MsgPack, b"\x81\xc0\xc0").contains("no string"));
    assert!(refusal(SerializationFormat::MsgPack, b"\x82\xa1a\x01\xa1a\x02").contains("before"));
    assert!(refusal(SerializationFormat::MsgPack, b"\xa1\xff").contains("UTF-8"));
    assert!(refusal(SerializationFormat::MsgPack, b"\xcb\x7f\xf8\0\0\0\0\0\0").contains("no number"));
}

#[test]
fn what_others_write_in_msgpack_is_read() {
    let read = |bytes: &[u8]| decoded(SerializationFormat::MsgPack, bytes);
    assert_eq!(read(b"\xc4\x02\x01\xff"), json!([1, 255]));
    assert_eq!(read(b"\xca\x3f\x80\x00\x00"), json!(1.0));
    assert_eq!(read(b"\x82\x05\xc2\xff\xc3"), json!({"5": false, "-1": true}));
    assert_eq!(read(b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff"), json!(-1));
    assert_eq!(read(b"\xcf\x00\x00\x00\x00\x00\x00\x00\x01"), json!(1));
}

#[test]
fn yaml_is_written_for_people() {
    let value = json!({"name": "a/b-1.c", "empty": {}, "none": [], "list": [1, {"a": 1, "b": [true, null]}, [2.5, 1e300]], "no": "no", "multi": "a\nb"});
    let expected = "\
empty: {}
list:
  - 1
  - a: 1
    b:
      - true
      - null
  - - 2.5
    - 1.0e+300
multi: \"a\\nb\"
name: a/b-1.c
\"no\": \"no\"
none: []
";
    assert_eq!(String::from_utf8(encode(SerializationFormat::Yaml, &value).unwrap()).unwrap(), expected);
}

#[test]
fn types_are_checked() {
    for format in FORMATS {
        let limits = BTreeMap::from([(7u32, Some("x")), (9, None)]);
        let bytes = encode(format, &limits).unwrap();
        let back: BTreeMap<u32, Option<String>> = decode(format, &bytes).unwrap();
        assert_eq!(back, BTreeMap::from([(7, Some("x".into())), (9, None)]));
        let error = decode::<Vec<u8>>(format, &bytes).unwrap_err().to_string();
        assert!(error.contains(format.as_str()) && error.contains("map"), "{error}");
        let error = encode(format, &BTreeMap::from([(vec![1], 1)])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn formats_have_names() {
    for format in FORMATS {
        assert_eq!(format.to_string().parse::<SerializationFormat>().unwrap(), format);
        assert_eq!(SerializationFormat::of_content_type(format.content_type()), Some(format));
    }
    let error = "xml".parse::<SerializationFormat>().unwrap_err();
    assert!(error.to_string().contains("'xml'"));
    assert_eq!(
        SerializationFormat::of_content_type("Application/Problem+JSON"),
        Some(SerializationFormat::Json)
    );
    assert_eq!(SerializationFormat::of_content_type(""), None);
}

#[test]
fn metadata_of_no_object_is_refused() {
    for bytes in [&b"--- 5\n"[..], b"---\n- a\n", b"[]", b"5", b"\x90", b"\x81", b"{", b"\xc0"] {
        assert_eq!(decode_metadata(bytes).unwrap_err().kind(), ErrorKind::Invalid, "{bytes:?}");
    }
    assert_eq!(decode_metadata(b" {}").unwrap(), Metadata::new());
    assert_eq!(decode_metadata(b"").unwrap(), Metadata::new());
}
