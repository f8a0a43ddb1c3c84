//! The text form: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{
    ALL, CLUSTER_STORE_CONDITION, CLUSTER_STORE_DURATION, EXTERNAL_SECRET_CALLS,
    EXTERNAL_SECRET_CONDITION, EXTERNAL_SECRET_DURATION, EXTERNAL_SECRET_ERRORS, Family, Kind,
    LAST_SUCCESS, Object, STORE_CONDITION, STORE_DURATION, Subject,
};
use crate::names::label;

/// A scrape in the making: series by the name of their family, since a page holds each family in one piece.
pub(super) struct Page {
    extended: bool,
    series: BTreeMap<&'static str, Vec<(Vec<String>, f64)>>,
}

impl Page {
    pub(super) fn new(extended: bool) -> Self {
        Self {
            extended,
            series: BTreeMap::new(),
        }
    }

    pub(super) fn put(&mut self, family: &'static Family, labels: Vec<String>, value: f64) {
        self.put_named(family.name, labels, value);
    }

    pub(super) fn put_named(&mut self, name: &'static str, labels: Vec<String>, value: f64) {
        self.series.entry(name).or_default().push((labels, value));
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts and times as Prometheus has them"
    )]
    pub(super) fn put_object(&mut self, subject: &Subject, object: &Object) {
        let (condition, duration) = match subject.0 {
            Kind::ExternalSecret => (&EXTERNAL_SECRET_CONDITION, &EXTERNAL_SECRET_DURATION),
            Kind::SecretStore => (&STORE_CONDITION, &STORE_DURATION),
            Kind::ClusterSecretStore => (&CLUSTER_STORE_CONDITION, &CLUSTER_STORE_DURATION),
        };
        let extended = &object.extended;
        let named = |more: &[String]| {
            let names = [subject.2.clone(), subject.1.clone()];
            names.into_iter().chain(more.iter().cloned()).collect()
        };
        if object.looks > 0 {
            self.put(duration, named(extended), object.took.as_nanos() as f64);
        }
        if let Some(ready) = object.ready {
            for (status, is) in [("True", ready), ("False", !ready)] {
                let value = f64::from(u8::from(is));
                self.put_condition(condition, subject, extended, ("Ready", status, value));
            }
        }
        if subject.0 == Kind::ExternalSecret {
            self.put(&EXTERNAL_SECRET_CALLS, named(extended), object.looks as f64);
            self.put(
                &EXTERNAL_SECRET_ERRORS,
                named(extended),
                object.errors as f64,
            );
            if let Some(at) = object.last_success {
                self.put(&LAST_SUCCESS, named(&[]), at);
            }
        }
    }

    pub(super) fn put_condition(
        &mut self,
        family: &'static Family,
        subject: &Subject,
        extended: &[String],
        (condition, status, value): (&str, &str, f64),
    ) {
        let labels = [&subject.2, &subject.1].into_iter().cloned();
        let labels = labels
            .chain([condition.to_owned(), status.to_owned()])
            .chain(extended.iter().cloned());
        self.put(family, labels.collect(), value);
    }

    pub(super) fn write(&self) -> String {
        let mut text = String::new();
        for family in ALL {
            let Family {
                name, kind, help, ..
            } = family;
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            let more = label::EXTENDED.iter().map(|(label, _)| *label);
            let more = more.filter(|_| self.extended && family.extended);
            let labels: Vec<&str> = family.labels.iter().copied().chain(more).collect();
            for (values, value) in self.series.get(name).into_iter().flatten() {
                let pairs = labels.iter().zip(values);
                let pairs: Vec<String> = pairs
                    .map(|(l, v)| format!("{l}=\"{}\"", escaped(v)))
                    .collect();
                let _ = match pairs.is_empty() {
                    true => writeln!(text, "{name} {value}"),
                    false => writeln!(text, "{name}{{{}}} {value}", pairs.join(",")),
                };
            }
        }
        text
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
