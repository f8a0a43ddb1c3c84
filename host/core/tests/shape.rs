//! Properties of rewriting, conversion and decoding, over random names and values.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use postern_api::external_secret::{
    ConflictPolicy, ConversionStrategy, DecodingStrategy, MergeStrategy, NullBytePolicy,
    RewriteMerge,
};
use postern_core::failure::{Code, Failure};
use postern_core::plan::{Entry, Object, Position, Read, SyncPlan, Wanted};
use postern_core::plugin::{Part, Pick};
use postern_core::re2::Pattern;
use postern_core::secret::SecretValue;
use postern_core::shape::{self, Data, EntryFate, Rewrite, Shaping};
use postern_core::store::StoreId;
use proptest::prelude::*;

fn entry() -> Entry {
    Entry::plain(Position::Extract(0), None)
}

/// Shapes the members of one entry.
fn shaped(entry: Entry, members: &BTreeMap<String, Vec<u8>>) -> Result<Data, Failure> {
    let read = Read {
        store: StoreId::from_ref(Default::default(), "s", "team"),
        within: None,
        wanted: Wanted::Object(Object {
            key: "db".into(),
            version: None,
            metadata: false,
            pick: Pick {
                property: None,
                members: true,
            },
        }),
    };
    let plan = SyncPlan {
        reads: vec![read],
        entries: vec![entry],
        ..SyncPlan::plain("team", "es", "t")
    };
    let members = members.iter();
    let members = members.map(|(k, v)| (k.clone(), SecretValue::new(v.clone())));
    let begun = shape::begin(&plan, vec![Ok(Part::Members(members.collect()))]);
    match begun.map_err(|unshaped| *unshaped.failure)? {
        Shaping::Done(shaped) => {
            let made = shaped.data.keys().cloned().collect();
            assert_eq!(shaped.fates, [EntryFate::Read(made)]);
            Ok(shaped.data)
        }
        Shaping::Render(_) => panic!("there is no template to render"),
    }
}

fn regexp(source: &str, target: &str) -> Rewrite {
    Rewrite::Regexp {
        source: Pattern::parse(source).unwrap(),
        target: target.into(),
    }
}

/// Reads `_U<hex>_` back.
fn reversed(key: &str) -> String {
    let mut out = String::new();
    let mut rest = key;
    while let Some(at) = rest.find("_U") {
        let (before, code) = rest.split_at(at);
        let end = code[2..].find('_').unwrap();
        out.push_str(before);
        out.push(char::from_u32(u32::from_str_radix(&code[2..2 + end], 16).unwrap()).unwrap());
        rest = &code[2 + end + 1..];
    }
    out.push_str(rest);
    out
}

fn members() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let name = "[a-zA-Z0-9/ ._\\-äß€]{0,12}";
    proptest::collection::btree_map(name, proptest::collection::vec(any::<u8>(), 0..20), 0..8)
}

proptest! {
    #[test]
    fn a_key_has_only_what_a_key_may_have(members in members(), unicode in any::<bool>()) {
        let mut entry = entry();
        entry.conversion = if unicode { ConversionStrategy::Unicode } else { ConversionStrategy::Default };
        match shaped(entry, &members) {
            Ok(data) => {
                prop_assert_eq!(data.len(), members.keys().filter(|name| !name.is_empty()).count());
                for key in data.keys() {
                    prop_assert!(key.chars().all(|c| c.is_alphanumeric() || "-._".contains(c)));
                }
            }
            Err(failure) => prop_assert!(failure.public.contains("secret name collision")),
        }
    }

    #[test]
    fn a_unicode_key_can_be_read_back(name in "[a-z/ äß€!]{1,20}") {
        let mut entry = entry();
        entry.conversion = ConversionStrategy::Unicode;
        let data = shaped(entry, &BTreeMap::from([(name.clone(), vec![1])])).unwrap();
        prop_assert_eq!(reversed(data.keys().next().unwrap()), name);
    }

    #[test]
    fn what_was_encoded_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..40), url in any::<bool>()) {
        let (strategy, text) = if url {
            (DecodingStrategy::Base64URL, URL_SAFE.encode(&bytes))
        } else {
            (DecodingStrategy::Base64, STANDARD.encode(&bytes))
        };
        for strategy in [strategy, DecodingStrategy::Auto] {
            let decoded = shape::decode(strategy, SecretValue::from(text.as_str())).unwrap();
            prop_assert_eq!(decoded.expose(), &bytes[..]);
        }
    }

    #[test]
    fn no_decoding_ever_says_the_value(text in "[ -~]{8,40}") {
        let mut entry = entry();
        entry.decoding = DecodingStrategy::Base64;
        if let Err(failure) = shaped(entry, &BTreeMap::from([("k".to_owned(), text.clone().into_bytes())])) {
            prop_assert!(!failure.public.contains(&text));
            prop_assert_eq!(failure.code, Code::Undecodable);
        }
        prop_assert!(shape::decode(DecodingStrategy::Auto, text.as_str().into()).is_ok());
    }

    #[test]
    fn a_zero_byte_is_refused_where_asked_and_only_there(bytes in proptest::collection::vec(0u8..3, 0..6)) {
        let mut entry = entry();
        entry.null_bytes = NullBytePolicy::Fail;
        let has_zero = bytes.contains(&0);
        prop_assert_eq!(shaped(entry, &BTreeMap::from([("k".to_owned(), bytes)])).is_err(), has_zero);
    }

    #[test]
    fn a_rewrite_that_matches_nothing_changes_nothing(members in members()) {
        let mut with = entry();
        with.rewrite = vec![regexp("#", "x"), regexp("^$", "")];
        let plain: BTreeMap<_, _> = members
            .into_iter()
            .filter(|(k, _)| k.chars().all(|c| c.is_alphanumeric() || "-._".contains(c)))
            .collect();
        prop_assert_eq!(shaped(with, &plain).unwrap(), shaped(entry(), &plain).unwrap());
    }

    #[test]
    fn a_prefix_keeps_every_value(members in proptest::collection::btree_map("[a-z]{1,6}", proptest::collection::vec(any::<u8>(), 0..9), 0..6)) {
        let mut entry = entry();
        entry.rewrite = vec![regexp("^", "p_"), regexp("^p_(.*)$", "$1.${1}x")];
        let data = shaped(entry, &members).unwrap();
        prop_assert_eq!(data.len(), members.len());
        for (name, value) in members {
            prop_assert_eq!(data[&format!("{name}.{name}x")].expose(), &value[..]);
        }
    }

    #[test]
    fn any_expression_is_read_or_refused(source in "[\\\\\\[\\](){}*+?|^$.a-c0-9,:P<>dDwWbBQE-]{0,14}", text in "[a-c0-9é/]{0,8}", target in "[$a{}1x]{0,6}") {
        if let Ok(pattern) = Pattern::parse(&source) {
            let _ = pattern.replace_all(&text, &target);
        }
    }

    #[test]
    fn merging_two_objects_is_their_union(left in proptest::collection::btree_map("[a-z]{1,3}", "[ -~]{0,6}", 0..5), right in proptest::collection::btree_map("[a-z]{1,3}", "[ -~]{0,6}", 0..5)) {
        let json = |of: &BTreeMap<String, String>| serde_json::to_vec(of).unwrap();
        let members = BTreeMap::from([("1".to_owned(), json(&left)), ("2".to_owned(), json(&right))]);
        let rule = |strategy, conflict| {
            let mut entry = entry();
            entry.rewrite = vec![Rewrite::Merge(RewriteMerge {
                into: Some("all".into()),
                strategy: Some(strategy),
                conflict_policy: Some(conflict),
                ..RewriteMerge::default()
            })];
            entry
        };
        let union: BTreeMap<_, _> = left.clone().into_iter().chain(right.clone()).collect();
        let data = shaped(rule(MergeStrategy::Extract, ConflictPolicy::Ignore), &members).unwrap();
        let expected: Data = union.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
        prop_assert_eq!(data, expected);
        let data = shaped(rule(MergeStrategy::JSON, ConflictPolicy::Ignore), &members).unwrap();
        let read: BTreeMap<String, String> = serde_json::from_slice(data["all"].expose()).unwrap();
        prop_assert_eq!(read, union);
        let shared = left.keys().any(|k| right.contains_key(k));
        let strict = shaped(rule(MergeStrategy::Extract, ConflictPolicy::Error), &members);
        prop_assert_eq!(strict.is_err(), shared);
    }
}
