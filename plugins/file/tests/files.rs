//! The provider over files in memory.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use postern_plugin_file::File;
use postern_sdk::{
    Answer, Context, Entropy, Failure, Files, Http, Log, Part, Pick, Provider, Request, Templating,
};

struct Disk(BTreeMap<&'static str, &'static [u8]>);

impl Disk {
    fn new() -> Self {
        let files: [(&str, &[u8]); 8] = [
            ("app/token", b"s3cret\n"),
            ("app/binary", &[0, 255, 13, 10]),
            (
                "app/db.json",
                br#"{"a.b":"exact","a":{"b":"path","n":1.50},"html":"<x>","big":9007199254740993}"#,
            ),
            (
                "app/db.yaml",
                b"base: &b {x: 1}\nuser: ada\nport: 5432\nnested: {<<: *b, on: true}\n7: seven\n",
            ),
            ("app/bad.json", b"{not json, s3cret"),
            ("app/tls/tls.crt", b"CERT"),
            ("app/tls/tls.key", b"KEY"),
            ("app/tls/..data/tls.key", b"KEY"),
        ];
        Self(files.into())
    }
}

impl Files for Disk {
    fn read(&self, root: &str, path: &str) -> Result<Vec<u8>, Failure> {
        if root != "granted" {
            return Err(Failure::not_found("no such directory is granted"));
        }
        self.0
            .get(path)
            .map(|b| b.to_vec())
            .ok_or_else(|| Failure::not_found("is not there"))
    }

    fn list_dir(&self, root: &str, path: &str) -> Result<Vec<String>, Failure> {
        if root != "granted" {
            return Err(Failure::not_found("no such directory is granted"));
        }
        let below = |p: &&str| p.strip_prefix(path)?.strip_prefix('/').map(str::to_owned);
        let entry = |p: String| {
            p.split_once('/')
                .map_or(p.clone(), |(folder, _)| format!("{folder}/"))
        };
        let mut names: Vec<String> = self.0.keys().filter_map(below).map(entry).collect();
        names.dedup();
        if names.is_empty() {
            Err(Failure::not_found("is not there"))
        } else {
            Ok(names)
        }
    }
}

impl Http for Disk {}
impl Log for Disk {}
impl Entropy for Disk {}
impl Templating for Disk {}

fn read_in(config: &str, key: &str, property: Option<&str>, members: bool) -> Answer {
    let picks = vec![Pick {
        property: property.map(str::to_owned),
        members,
    }];
    let request = Request {
        key: key.to_owned(),
        picks,
        ..Request::default()
    };
    let context = Context {
        config: config.to_owned(),
        ..Context::default()
    };
    File::get_batch(&Disk::new(), &context, &[request])
        .remove(0)
        .answer
}

fn read(key: &str, property: Option<&str>, members: bool) -> Answer {
    read_in(
        r#"{"directory":"granted","path":"app/"}"#,
        key,
        property,
        members,
    )
}

fn value(bytes: &[u8]) -> Answer {
    Answer::Parts(vec![Part::Value(bytes.to_vec())])
}

fn members(of: &[(&str, &str)]) -> Answer {
    let members = of
        .iter()
        .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()));
    Answer::Parts(vec![Part::Members(members.collect())])
}

fn failure(answer: Answer) -> Failure {
    match answer {
        Answer::Failed(f) => f,
        Answer::Parts(mut parts) => match parts.remove(0) {
            Part::Failed(f) => f,
            other => panic!("no failure: {other:?}"),
        },
        Answer::Unchanged => panic!("unchanged"),
    }
}

#[test]
fn gives_a_file_byte_for_byte() {
    assert_eq!(read("token", None, false), value(b"s3cret\n"));
    assert_eq!(read("binary", None, false), value(&[0, 255, 13, 10]));
}

#[test]
fn takes_properties_of_json_and_yaml_exact_name_first() {
    assert_eq!(read("db.json", Some("a.b"), false), value(b"exact"));
    assert_eq!(read("db.json", Some("a.n"), false), value(b"1.5"));
    assert_eq!(
        read("db.json", Some("big"), false),
        value(b"9007199254740993")
    );
    assert_eq!(read("db.yaml", Some("port"), false), value(b"5432"));
    assert_eq!(read("db.yaml", Some("nested.x"), false), value(b"1"));
    assert_eq!(
        read("db.yaml", Some("nested"), true),
        members(&[("on", "true"), ("x", "1")])
    );
    assert_eq!(
        failure(read("db.yaml", Some("none"), false)).code,
        "not-found"
    );
}

#[test]
fn extracts_members_of_files_and_folders() {
    let json = [
        ("a", r#"{"b":"path","n":1.50}"#),
        ("a.b", "exact"),
        ("big", "9007199254740993"),
        ("html", "<x>"),
    ];
    assert_eq!(read("db.json", None, true), members(&json));
    let folder = [("tls.crt", "CERT"), ("tls.key", "KEY")];
    assert_eq!(read("tls", None, true), members(&folder));
    assert_eq!(read("tls/", None, true), members(&folder));
    assert_eq!(read("tls", Some("tls.key"), false), value(b"KEY"));
    assert_eq!(failure(read("tls", None, false)).code, "invalid-request");
}

#[test]
fn counts_a_file_as_absent_only_where_its_folder_is_there() {
    assert_eq!(failure(read("none", None, false)).code, "absent");
    let gone = r#"{"directory":"granted","path":"unmounted"}"#;
    assert_eq!(
        failure(read_in(gone, "token", None, false)).code,
        "not-found"
    );
    let other = r#"{"directory":"other"}"#;
    assert_eq!(
        failure(read_in(other, "token", None, false)).code,
        "not-found"
    );
    let context = Context {
        config: gone.to_owned(),
        ..Context::default()
    };
    assert_eq!(
        File::probe(&Disk::new(), &context).unwrap_err().code,
        "not-found"
    );
}

#[test]
fn refuses_keys_and_folders_that_step_out() {
    for key in ["../x", "/etc/passwd", "a/../b", "a//b", "", "."] {
        assert_eq!(
            failure(read(key, None, false)).code,
            "invalid-request",
            "{key:?}"
        );
    }
    let problems =
        File::examine(r#"{"directory":"granted","path":"../x"}"#, &[], &Vec::new()).unwrap_err();
    assert_eq!(problems[0].pointer, "/path");
    let problems = File::examine("{}", &[], &Vec::new()).unwrap_err();
    assert_eq!(problems[0].pointer, "/directory");
}

#[test]
fn says_nothing_of_the_content_of_a_file_it_cannot_read() {
    let failure = failure(read("bad.json", Some("a"), false));
    assert_eq!(failure.code, "invalid-request");
    assert!(!format!("{failure:?}").contains("s3cret"));
    assert_eq!(
        self::failure(read("token", Some("a"), false)).code,
        "invalid-request"
    );
}
