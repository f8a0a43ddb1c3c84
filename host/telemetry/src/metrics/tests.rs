//! The registry: what a scrape shows, what goes, the bounds, and the page in docs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

fn subject(name: &str) -> Subject {
    (Kind::ExternalSecret, "team".into(), name.into())
}

fn look(ready: bool) -> Look<'static> {
    Look {
        ready: Some(ready),
        took: Duration::from_nanos(7),
        ..Look::default()
    }
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "no line {line} in\n{text}");
}

#[test]
fn a_scrape_shows_each_series_once_with_its_sum() {
    let metrics = Metrics::default();
    metrics.add(&SYNCS, &["updated", ""], 1.0);
    metrics.add(&SYNCS, &["updated", ""], 2.0);
    metrics.add(&SYNCS, &["failed", "PST-1103"], 1.0);
    metrics.raise(&PLUGIN_MEMORY, &["a\"\\\nb"], 5.0);
    metrics.raise(&PLUGIN_MEMORY, &["a\"\\\nb"], 3.0);
    let text = metrics.text([(&QUEUE_AGE, Vec::new(), 0.5)]);
    has(&text, "postern_syncs_total{result=\"updated\",code=\"\"} 3");
    has(
        &text,
        "postern_syncs_total{result=\"failed\",code=\"PST-1103\"} 1",
    );
    has(&text, "# TYPE postern_syncs_total counter");
    has(
        &text,
        "postern_plugin_memory_peak_bytes{plugin=\"a\\\"\\\\\\nb\"} 5",
    );
    has(&text, "postern_queue_age_seconds 0.5");
}

#[test]
fn ready_and_its_opposite_are_both_told_and_go_with_the_object() {
    let metrics = Metrics::default();
    metrics.looked(&subject("a"), &look(true));
    metrics.looked(&subject("a"), &look(false));
    metrics.failed(&subject("a"));
    let condition = |condition: &str, status: &str| {
        format!(
            "externalsecret_status_condition{{name=\"a\",namespace=\"team\",condition=\"{condition}\",status=\"{status}\"}}"
        )
    };
    let text = metrics.text([]);
    has(&text, &format!("{} 0", condition("Ready", "True")));
    has(&text, &format!("{} 1", condition("Ready", "False")));
    has(
        &text,
        "externalsecret_sync_calls_total{name=\"a\",namespace=\"team\"} 2",
    );
    has(
        &text,
        "externalsecret_sync_calls_error{name=\"a\",namespace=\"team\"} 1",
    );
    has(
        &text,
        "externalsecret_reconcile_duration{name=\"a\",namespace=\"team\"} 7",
    );
    metrics.gone(&subject("a"));
    let text = metrics.text([]);
    let left: Vec<&str> = text.lines().filter(|l| l.contains("name=\"a\"")).collect();
    assert_eq!(left, [format!("{} 1", condition("Deleted", "False"))]);
    metrics.looked(&subject("a"), &look(true));
    assert!(!metrics.text([]).contains("Deleted"));
}

#[test]
fn labels_of_the_object_are_shown_only_where_that_is_wanted() {
    let labels = BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "shop".to_owned())]);
    let look = Look {
        labels: Some(&labels),
        ..look(true)
    };
    let (plain, extended) = (Metrics::new(false), Metrics::new(true));
    plain.looked(&subject("a"), &look);
    extended.looked(&subject("a"), &look);
    assert!(!plain.text([]).contains("shop"));
    has(
        &extended.text([]),
        "externalsecret_sync_calls_total{name=\"a\",namespace=\"team\",app_kubernetes_io_name=\"\",app_kubernetes_io_instance=\"\",app_kubernetes_io_version=\"\",app_kubernetes_io_component=\"\",app_kubernetes_io_part_of=\"shop\",app_kubernetes_io_managed_by=\"\"} 1",
    );
}

#[test]
fn the_number_of_series_is_bounded_and_what_is_left_out_is_counted() {
    let metrics = Metrics::default();
    for n in 0..=MAX_OBJECTS {
        metrics.looked(&subject(&n.to_string()), &look(true));
    }
    for n in 0..=MAX_SERIES {
        metrics.raise(&PLUGIN_MEMORY, &[&n.to_string()], 1.0);
    }
    let text = metrics.text([]);
    has(&text, "postern_metrics_left_out_total 2");
    let shown = |of: &str| text.lines().filter(|l| l.starts_with(of)).count();
    assert_eq!(shown("externalsecret_sync_calls_total{"), MAX_OBJECTS);
    assert_eq!(shown("postern_plugin_memory_peak_bytes{"), MAX_SERIES);
    for n in 0..MAX_OBJECTS {
        metrics.gone(&subject(&n.to_string()));
    }
    let told = metrics.text([]).matches("condition=\"Deleted\"").count();
    assert_eq!(told, MAX_DELETED);
}

#[test]
fn the_page_in_docs_tells_of_every_metric_and_of_no_other() {
    let page = include_str!("../../../../docs/metrics.md");
    let told: Vec<&str> = page.lines().filter(|l| l.starts_with("| `")).collect();
    let told: Vec<&str> = told
        .into_iter()
        .filter(|l| l.contains(" | counter | ") || l.contains(" | gauge | "))
        .collect();
    let expected: Vec<String> = ALL
        .iter()
        .map(|f| {
            let labels: Vec<String> = f.labels.iter().map(|l| format!("`{l}`")).collect();
            let more = if f.extended { " +" } else { "" };
            format!(
                "| `{}` | {} | {}{more} | {} |",
                f.name,
                f.kind,
                labels.join(", "),
                f.help
            )
        })
        .collect();
    assert_eq!(told, expected, "{}", expected.join("\n"));
    for bound in [MAX_OBJECTS, MAX_DELETED, MAX_SERIES] {
        assert!(page.contains(&bound.to_string()), "the page lacks {bound}");
    }
}
