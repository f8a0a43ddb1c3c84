//! Runs the built template engine as a component: what its native tests cannot show.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    clippy::useless_vec,
    reason = "generated bindings, and tests"
)]

use std::path::Path;
use std::sync::LazyLock;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, OptLevel, Store};

wasmtime::component::bindgen!({ path: "../wit", world: "template-engine" });

use exports::postern::plugin::render::{Datum, Failure, Job, Template};

/// A host with a clock and numbers of its own, which counts what is drawn.
struct Host {
    now: u64,
    random: u64,
    draws: u32,
}

impl postern::plugin::types::Host for Host {}

impl postern::plugin::entropy::Host for Host {
    fn now_ns(&mut self) -> u64 {
        self.draws += 1;
        self.now += 1_000_000;
        self.now
    }

    fn random_u64(&mut self) -> u64 {
        self.draws += 1;
        // SplitMix64: the low bits of simpler generators follow each other in the same circle from every seed.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Compiling takes longer than all tests; it is done once.
static ENGINE: LazyLock<(Engine, Component)> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests/go-template.wasm");
    assert!(
        path.is_file(),
        "the template engine is not built; run `cargo xtask guests`"
    );
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::None);
    let engine = Engine::new(&config).unwrap();
    let component = Component::from_file(&engine, &path).unwrap();
    (engine, component)
});

struct Fresh {
    store: Store<Host>,
    guest: TemplateEngine,
}

fn fresh(random: u64) -> Fresh {
    let (engine, component) = &*ENGINE;
    let mut linker = Linker::new(engine);
    TemplateEngine::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host).unwrap();
    let host = Host {
        // The last second of 2029.
        now: 1_893_455_999_000_000_000,
        random,
        draws: 0,
    };
    let mut store = Store::new(engine, host);
    let guest = TemplateEngine::instantiate(&mut store, component, &linker).unwrap();
    Fresh { store, guest }
}

impl Fresh {
    fn render(&mut self, source: &str, data: &[(&str, &[u8])]) -> Result<Vec<u8>, Failure> {
        let job = Job {
            templates: vec![template("key", source)],
            data: data
                .iter()
                .map(|(name, value)| Datum {
                    path: vec![(*name).to_owned()],
                    value: value.to_vec(),
                })
                .collect(),
        };
        let mut answers = self
            .guest
            .postern_plugin_render()
            .call_render(&mut self.store, &[job], &vec![])
            .unwrap();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].len(), 1);
        answers.remove(0).remove(0)
    }

    fn text(&mut self, source: &str) -> String {
        String::from_utf8(self.render(source, &[]).unwrap()).unwrap()
    }
}

fn template(name: &str, source: &str) -> Template {
    Template {
        name: name.to_owned(),
        source: source.to_owned(),
        options: vec![],
    }
}

#[test]
fn describes_itself_and_asks_for_nothing() {
    let mut fresh = fresh(1);
    let descriptor = fresh
        .guest
        .postern_plugin_describe()
        .call_describe(&mut fresh.store)
        .unwrap();
    assert_eq!(descriptor.name, "go-template");
    assert_eq!(descriptor.serves, ["go"]);
    assert_eq!(descriptor.config_schema, r#"{"type":"object"}"#);
    assert!(descriptor.asks.is_empty());
}

#[test]
fn imports_entropy_and_nothing_else() {
    let (engine, component) = &*ENGINE;
    let names: Vec<String> = component
        .component_type()
        .imports(engine)
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.starts_with("postern:plugin/types@"))
        .collect();
    assert_eq!(names, ["postern:plugin/entropy@0.1.0"]);
}

#[test]
fn renders_bytes_and_reports_failures_in_order() {
    let mut fresh = fresh(1);
    let data = |name: &str, value: &[u8]| Datum {
        path: vec![name.to_owned()],
        value: value.to_vec(),
    };
    let jobs = [
        Job {
            templates: vec![
                template(
                    "url",
                    "postgres://{{ .user }}:{{ .password | urlquery }}@db",
                ),
                template("bad", "{{ .absent }}"),
                template("raw", "{{ .password }}"),
            ],
            data: vec![data("user", b"ann"), data("password", b"p@ss\xff")],
        },
        Job {
            templates: vec![template("x", "{{ .user | upper }}")],
            data: vec![data("user", b"bob")],
        },
    ];
    let answers = fresh
        .guest
        .postern_plugin_render()
        .call_render(&mut fresh.store, &jobs, &vec![])
        .unwrap();
    let [first, second] = answers.as_slice() else {
        panic!("one list a job");
    };
    assert_eq!(first[0].as_deref().unwrap(), b"postgres://ann:p%40ss%FF@db");
    let failure = first[1].as_ref().unwrap_err();
    assert_eq!(failure.code, "internal");
    assert!(
        failure
            .message
            .starts_with("unable to execute template at key bad: "),
        "{}",
        failure.message
    );
    assert_eq!(first[2].as_deref().unwrap(), b"p@ss\xff");
    assert_eq!(second[0].as_deref().unwrap(), b"BOB");
}

#[test]
fn fresh_instances_differ_in_all_that_is_random() {
    for source in [
        "{{ uuidv4 }}",
        "{{ randAlphaNum 16 }}",
        "{{ randInt 0 1000000000 }}",
        r#"{{ shuffle "abcdefghijklmnopqrstuvwxyz" }}"#,
        r#"{{ genPrivateKey "ed25519" }}"#,
        r#"{{ genPrivateKey "ecdsa" }}"#,
    ] {
        let (mut one, mut other) = (fresh(1), fresh(2));
        assert_ne!(one.text(source), other.text(source), "{source}");
        assert!(one.store.data().draws > 0, "{source} draws from the host");
    }
}

#[test]
fn knows_the_hosts_time() {
    assert_eq!(
        fresh(1).text(r#"{{ now | date "2006-01-02" }}"#),
        "2029-12-31"
    );
}

#[test]
fn a_plain_template_draws_no_entropy() {
    let mut fresh = fresh(1);
    let source = r#"{{ range $k, $v := . }}{{ $k }}={{ $v | b64enc | quote }};{{ end }}{{ dict "a" 1 | toYaml }}"#;
    let data: Vec<(String, Vec<u8>)> = (0..100)
        .map(|n| (format!("key{n}"), vec![b'x'; 1000]))
        .collect();
    let data: Vec<(&str, &[u8])> = data
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_slice()))
        .collect();
    let once = fresh.render(source, &data).unwrap();
    assert_eq!(fresh.store.data().draws, 0);
    assert_eq!(once, fresh.render(source, &data).unwrap());
}

#[test]
fn stays_alive_through_many_calls_and_collections() {
    let mut fresh = fresh(1);
    let large = vec![b'x'; 100_000];
    for _ in 0..500 {
        let out = fresh
            .render("{{ .v | b64enc | b64dec }}", &[("v", &large)])
            .unwrap();
        assert_eq!(out, large);
    }
}

#[test]
fn checks_templates_without_data() {
    let mut fresh = fresh(1);
    let problems = fresh
        .guest
        .postern_plugin_render()
        .call_check(
            &mut fresh.store,
            &[
                template("good", "{{ .x }}"),
                template("bad", "\n {{ nosuch }}"),
            ],
            &vec![],
        )
        .unwrap();
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}");
    };
    assert_eq!(
        (problem.name.as_str(), problem.line, problem.column),
        ("bad", 2, 5)
    );
    assert_eq!(problem.message, r#"function "nosuch" not defined"#);
}
