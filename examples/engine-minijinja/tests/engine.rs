//! The engine without a component: its one door, entropy, is a trait.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a helper of a test cannot read is a failed test"
)]

use engine_minijinja::MiniJinja;
use postern_sdk::{Datum, Engine as _, Entropy, Failure, Job, Options, Template};

struct Frozen;
impl Entropy for Frozen {}

fn template(source: &str) -> Template {
    Template {
        name: "config.txt".to_owned(),
        source: source.to_owned(),
        options: Vec::new(),
    }
}

fn options(pairs: &[(&str, &str)]) -> Options {
    let pairs = pairs.iter();
    pairs
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

fn render_with(
    source: &str,
    pairs: &[(&str, &str)],
    data: &[(&[&str], &[u8])],
) -> Result<String, Failure> {
    let datum = |(path, value): &(&[&str], &[u8])| Datum {
        path: path.iter().map(|p| (*p).to_owned()).collect(),
        value: value.to_vec(),
    };
    let job = Job {
        templates: vec![template(source)],
        data: data.iter().map(datum).collect(),
    };
    let mut results = MiniJinja::render(&Frozen, &[job], &options(pairs));
    results
        .remove(0)
        .remove(0)
        .map(|bytes| String::from_utf8(bytes).unwrap())
}

fn render(source: &str) -> Result<String, Failure> {
    let data: &[(&[&str], &[u8])] = &[
        (&["password"], b"sentinel-<&>"),
        (&["remoteRef", "key"], b"db"),
        (&["binary"], b"\xff\xfe"),
    ];
    render_with(source, &[], data)
}

#[test]
fn renders_values_at_paths_without_escaping() {
    let source = "{{ remoteRef.key }}:{{ password | upper }}{% if password %} yes{% endif %}\n";
    assert_eq!(render(source).unwrap(), "db:SENTINEL-<&> yes\n");
    assert_eq!(
        render("{{ {'a': password} | tojson }}").unwrap(),
        r#"{"a": "sentinel-\u003c\u0026\u003e"}"#
    );
}

#[test]
fn answers_each_job_and_each_template_in_order() {
    let job = |texts: &[&str]| Job {
        templates: texts.iter().map(|t| template(t)).collect(),
        data: Vec::new(),
    };
    let results = MiniJinja::render(
        &Frozen,
        &[job(&["a", "{{", "c"]), job(&[]), job(&["d"])],
        &Vec::new(),
    );
    let oks: Vec<Vec<bool>> = results
        .iter()
        .map(|r| r.iter().map(Result::is_ok).collect())
        .collect();
    assert_eq!(oks, [vec![true, false, true], vec![], vec![true]]);
}

#[test]
fn says_where_and_never_what_the_data_is() {
    for (source, place, code) in [
        ("a\n  {{ gone }}", "line 2, column 6", "internal"),
        ("{% if gone %}{% endif %}", "line 1, column 7", "internal"),
        ("x {{ password + 1 }}", "line 1, column 6", "internal"),
        ("x {{ password | int }}", "line 1, column 17", "internal"),
        ("x {{ password.a.b }}", "line 1, column 14", "internal"),
        ("{{ password | nofilter }}", "line 1, column 15", "internal"),
        ("{{ binary }}", "line 1, column 4", "internal"),
        ("a\nb {{ 1 +", "line 2", "invalid-request"),
        ("{% endif %}", "line 1, column 4", "invalid-request"),
    ] {
        let failure = render(source).unwrap_err();
        assert_eq!(failure.code, code, "{source}");
        assert!(failure.message.contains("\"config.txt\""), "{failure}");
        assert!(failure.message.contains(place), "{source}: {failure}");
        assert!(!format!("{failure:?}").contains("sentinel"), "{failure:?}");
    }
}

#[test]
fn leaves_out_what_is_missing_where_asked() {
    assert_eq!(
        render_with("[{{ gone }}]", &[("missingkey", "default")], &[]).unwrap(),
        "[]"
    );
    assert!(render_with("[{{ gone }}]", &[("missingkey", "error")], &[]).is_err());
    let failure = render_with("", &[("missingkey", "zero")], &[]).unwrap_err();
    assert_eq!(failure.code, "invalid-request");
}

#[test]
fn takes_other_delimiters_and_refuses_empty_ones() {
    let data: &[(&[&str], &[u8])] = &[(&["a"], b"1")];
    let text = render_with("<<a>> {{a}}", &[("left", "<<"), ("right", ">>")], data);
    assert_eq!(text.unwrap(), "1 {{a}}");
    let failure = render_with("", &[("left", ""), ("right", ">>")], data).unwrap_err();
    assert_eq!(failure.code, "invalid-request");
}

#[test]
fn a_templates_own_options_win_over_those_of_the_call() {
    let own = Template {
        options: options(&[("left", "<<"), ("right", ">>")]),
        ..template("<<a>> {{a}} [[a]]")
    };
    let templates = vec![own.clone(), template("<<a>> {{a}} [[a]]")];
    let data = vec![Datum {
        path: vec!["a".to_owned()],
        value: b"1".to_vec(),
    }];
    let call = options(&[("left", "[["), ("right", "]]")]);
    let jobs = [Job { templates, data }];
    let rendered = MiniJinja::render(&Frozen, &jobs, &call).remove(0);
    let texts: Vec<_> = rendered.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        texts,
        [b"1 {{a}} [[a]]".to_vec(), b"<<a>> {{a}} 1".to_vec()]
    );
    let broken = Template {
        source: "<<a".to_owned(),
        ..own
    };
    assert_eq!(MiniJinja::check(&[broken], &call).len(), 1);
}

#[test]
fn does_not_parse_what_it_rendered() {
    assert_eq!(
        render_with("a: 1", &[("parse", "yaml")], &[])
            .unwrap_err()
            .code,
        "unsupported"
    );
}

#[test]
fn ends_a_template_that_would_not_end() {
    let source = "{% for i in range(9000) %}{% for j in range(9000) %}{% endfor %}{% endfor %}";
    let failure = render(source).unwrap_err();
    assert!(failure.message.contains("too many steps"), "{failure}");
    let failure = render("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}").unwrap_err();
    assert_eq!(failure.code, "internal");
}

#[test]
fn checks_without_data() {
    let templates = [
        template("{{ gone }}"),
        template("a\n{{ sentinel sentinel }}"),
    ];
    let problems = MiniJinja::check(&templates, &Vec::new());
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].line, problems[0].column), (2, 13));
    assert!(!problems[0].message.contains("sentinel"));
    assert_eq!(
        MiniJinja::check(&templates, &options(&[("parse", "yaml")])).len(),
        2
    );
}
