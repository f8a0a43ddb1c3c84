//! Components against real or recorded servers; the tests are in `tests/`, and this is what they have in common.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "helpers of tests fail as tests do"
)]

pub mod table;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postern_core::egress::{AddressRules, AllowedEndpoint, EgressPolicy, Origin, TlsSettings};
use postern_core::failure::Failure;
use postern_core::plugin::{
    Answer, Call, Credential, IdentityId, Outcome, Part, Pick, Request, Revision,
};
use postern_runtime::Runtime;
use postern_runtime::aot::CompileWith;

/// A runtime with some components loaded.
pub struct Bench {
    /// The runtime.
    pub runtime: Runtime,
    /// The first of the components.
    pub revision: Arc<Revision>,
}

impl Bench {
    /// Loads these components, the one under test first.
    pub async fn load(names: &[&str]) -> Self {
        let guests = std::env::var_os("POSTERN_GUESTS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"),
            Into::into,
        );
        let runtime = Runtime::builder()
            .cache_dir(guests.join("../tmp"))
            .compile_with(CompileWith::InProcess)
            .build()
            .unwrap();
        let mut revisions = Vec::new();
        for name in names {
            let component = guests.join(format!("{name}.wasm"));
            let bytes = std::fs::read(&component).unwrap_or_else(|_| {
                panic!(
                    "{} is missing; run `cargo xtask guests`",
                    component.display()
                )
            });
            revisions.push(runtime.load_bytes(&bytes, true).await.unwrap());
        }
        let revision = revisions.remove(0);
        Self { runtime, revision }
    }

    /// A call of the component under test, with one server that it may talk to.
    pub fn call(
        &self,
        config: &str,
        credentials: &[(&str, &str)],
        server: &str,
        tls: TlsSettings,
    ) -> Call {
        let credential = |(pointer, value): &(&str, &str)| Credential {
            pointer: (*pointer).into(),
            value: (*value).into(),
            attributes: Vec::new(),
        };
        let endpoint = AllowedEndpoint {
            origin: Origin::parse(server).unwrap(),
            tls,
        };
        let rules = AddressRules {
            loopback: true,
            ..AddressRules::default()
        };
        Call {
            plugin: self.revision.digest.clone(),
            identity: IdentityId("backend-test".into()),
            config: config.into(),
            credentials: credentials.iter().map(credential).collect(),
            session: None,
            namespace: None,
            egress: Arc::new(EgressPolicy {
                endpoints: vec![endpoint],
                rules,
                ..EgressPolicy::default()
            }),
            directories: Arc::default(),
            deadline: Duration::from_secs(20),
            options: vec![(
                "provider-key".into(),
                self.revision.descriptor.serves[0].clone(),
            )],
        }
    }
}

/// A request of one value.
#[must_use]
pub fn request(key: &str, property: Option<&str>) -> Request {
    Request {
        key: key.into(),
        version: None,
        metadata: false,
        picks: vec![Pick {
            property: property.map(str::to_owned),
            members: false,
        }],
        known: None,
    }
}

/// The one value of an outcome.
#[must_use]
pub fn value(outcome: &Outcome) -> String {
    match &outcome.answer {
        Answer::Parts(parts) => match &parts[..] {
            [Part::Value(value)] => String::from_utf8(value.expose().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The one failure of an outcome.
#[must_use]
pub fn failure(outcome: &Outcome) -> &Failure {
    match &outcome.answer {
        Answer::Failed(failure) => failure,
        Answer::Parts(parts) => match &parts[..] {
            [Part::Failed(failure)] => failure,
            other => panic!("{other:?}"),
        },
        Answer::Unchanged => panic!("unchanged"),
    }
}
