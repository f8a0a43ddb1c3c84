//! What every provider does alike: one table of rows, played against each backend through one trait.
//!
//! A backend says how a value gets into it and how it misbehaves; the rows ask the component as the host would, with what its own
//! `examine` opens and a session of its own `login`, and look at what comes. A row that a backend cannot have is named by it with the
//! reason, so that none leaves unnoticed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use postern_core::egress::{AddressRules, AllowedEndpoint, EgressPolicy, Origin, TlsSettings};
use postern_core::failure::{Code, Failure};
use postern_core::plugin::{
    Answer, Call, Credential, IdentityId, Outcome, Part, Pick, PluginHost as _, Query, Request,
};

use crate::Bench;

/// All rows, in the order in which they are played.
pub const ROWS: [&str; 11] = [
    "get",
    "missing",
    "denied",
    "version",
    "property",
    "binary",
    "find",
    "throttled",
    "outage",
    "rotated",
    "unchanged",
];

/// What the rows need of a backend. Names are of objects that it may make as it likes.
pub trait Backend {
    /// The store's config.
    fn config(&self) -> String;

    /// What the references of the config lead to.
    fn credentials(&self) -> Vec<Credential>;

    /// Makes an object, or gives it a new version.
    fn put(&self, key: &str, value: &[u8]);

    /// The version that an object has now, as a manifest names it.
    fn version(&self, key: &str) -> String;

    /// Refuses this object to us from now on, by the backend's own rules.
    fn deny(&self, key: &str);

    /// Words of the backend that the message of a denial must have, such as the permission that is missing.
    fn permission(&self) -> &'static str;

    /// Answers every read with the request to come again in so many seconds.
    fn throttle(&self, seconds: u64);

    /// Answers every read as it does in an outage.
    fn fail(&self);

    /// Takes back the last three.
    fn recover(&self);

    /// The property under which a value stands, where no object is a value by itself.
    fn member(&self) -> Option<&'static str> {
        None
    }

    /// Why a row cannot be played.
    fn cannot(&self, row: &str) -> Option<&'static str> {
        let _ = row;
        None
    }
}

/// Plays all rows and fails with the names of those that failed; the reasons of those left out must be these.
///
/// # Panics
/// Where a row fails.
pub async fn play(bench: &Bench, backend: &dyn Backend, left_out: &[&str]) {
    let mut failed = String::new();
    let mut skipped = Vec::new();
    for row in ROWS {
        if backend.cannot(row).is_some() {
            skipped.push(row);
            continue;
        }
        let asker = Asker::new(bench, backend).await;
        let result = asker.row(row).await;
        backend.recover();
        if let Err(why) = result {
            let _ = writeln!(failed, "{row}: {why}");
        }
    }
    assert_eq!(skipped, left_out, "rows that are left out");
    assert!(failed.is_empty(), "rows that failed:\n{failed}");
}

/// Asks as the host does.
pub struct Asker<'a> {
    bench: &'a Bench,
    backend: &'a dyn Backend,
    call: Call,
}

type Checked = Result<(), String>;

impl<'a> Asker<'a> {
    /// With a session, where the provider has a login.
    pub async fn new(bench: &'a Bench, backend: &'a dyn Backend) -> Self {
        let mut call = call(bench, &backend.config(), backend.credentials()).await;
        if bench.revision.has_login {
            let session = bench.runtime.login(&call).await.unwrap();
            call.session = Some(session.token);
            call.credentials.clear();
        }
        Self {
            bench,
            backend,
            call,
        }
    }

    /// One object.
    pub async fn read(&self, request: Request) -> Outcome {
        let mut outcomes = self.read_all(&[request]).await;
        outcomes.remove(0)
    }

    /// Objects of one call.
    pub async fn read_all(&self, requests: &[Request]) -> Vec<Outcome> {
        self.bench.runtime.read(&self.call, requests).await.unwrap()
    }

    /// A request of the value of an object.
    fn whole(&self, key: &str) -> Request {
        crate::request(key, self.backend.member())
    }

    async fn row(&self, row: &str) -> Checked {
        match row {
            "get" => self.get().await,
            "missing" => self.missing().await,
            "denied" => self.denied().await,
            "version" => self.version().await,
            "property" => self.property().await,
            "binary" => self.binary().await,
            "find" => self.find().await,
            "throttled" => self.throttled().await,
            "outage" => self.outage().await,
            "rotated" => self.rotated().await,
            "unchanged" => self.unchanged().await,
            _ => Err("there is no such row".to_owned()),
        }
    }

    /// Alone, and with others.
    async fn get(&self) -> Checked {
        self.backend.put("get-a", b"value a");
        self.backend.put("get-b", b"value b");
        is(&self.read(self.whole("get-a")).await, b"value a")?;
        let outcomes = self
            .read_all(&[self.whole("get-a"), self.whole("get-b")])
            .await;
        is(&outcomes[0], b"value a")?;
        is(&outcomes[1], b"value b")
    }

    /// Absent alone, and no other's failure.
    async fn missing(&self) -> Checked {
        self.backend.put("there", b"v");
        code(&self.read(self.whole("not-there")).await, Code::Absent)?;
        let outcomes = self
            .read_all(&[self.whole("not-there"), self.whole("there")])
            .await;
        code(&outcomes[0], Code::Absent)?;
        is(&outcomes[1], b"v")
    }

    /// Denied and never absent, named in the backend's words, and no other's failure.
    async fn denied(&self) -> Checked {
        self.backend.put("closed", b"v");
        self.backend.put("open", b"v");
        self.backend.deny("closed");
        let outcomes = self
            .read_all(&[self.whole("closed"), self.whole("open")])
            .await;
        code(&outcomes[0], Code::Denied)?;
        is(&outcomes[1], b"v")?;
        let alone = self.read(self.whole("closed")).await;
        code(&alone, Code::Denied)?;
        let said = failure(&alone)
            .map(|f| f.public.clone())
            .unwrap_or_default();
        let wanted = self.backend.permission();
        said.contains(wanted)
            .then_some(())
            .ok_or(format!("no {wanted:?} in {said:?}"))
    }

    async fn version(&self) -> Checked {
        self.backend.put("versioned", b"one");
        let first = self.backend.version("versioned");
        self.backend.put("versioned", b"two");
        let pinned = Request {
            version: Some(first),
            ..self.whole("versioned")
        };
        is(&self.read(pinned).await, b"one")?;
        is(&self.read(self.whole("versioned")).await, b"two")
    }

    async fn property(&self) -> Checked {
        self.backend.put(
            "json",
            br#"{"user": "ada", "a.b": "dotted", "nested": {"port": 5432}}"#,
        );
        for (property, value) in [("user", "ada"), ("a.b", "dotted"), ("nested.port", "5432")] {
            is(&self.read(of("json", property)).await, value.as_bytes())?;
        }
        let none = self.read(of("json", "none")).await;
        code(&none, Code::NotFound)
    }

    /// What is no text: chance, a keystore, the most that all backends hold, a byte.
    async fn binary(&self) -> Checked {
        let mut noise: u32 = 1;
        let mut random = move || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0]
        };
        let keystore = include_bytes!("../data/keystore.p12");
        let values: [(&str, Vec<u8>); 4] = [
            ("random", (0..4096).map(|_| random()).collect()),
            ("keystore", keystore.to_vec()),
            ("most", (0..65_536).map(|_| random()).collect()),
            ("byte", vec![0]),
        ];
        for (name, value) in values {
            let key = format!("binary-{name}");
            self.backend.put(&key, &value);
            is(&self.read(self.whole(&key)).await, &value)
                .map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(())
    }

    /// What is found can be read by the key that it was found by.
    async fn find(&self) -> Checked {
        self.backend.put("found-a", b"v");
        self.backend.put("found-b", b"v");
        let query = Query {
            name: Some("found-.*".to_owned()),
            ..Query::default()
        };
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..100 {
            let page = self
                .bench
                .runtime
                .find(&self.call, &query, after.as_deref())
                .await;
            let page = page.map_err(|f| f.to_string())?;
            found.extend(page.found);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for wanted in ["found-a", "found-b"] {
            let named = |f: &&postern_core::plugin::Found| {
                f.name.as_ref().unwrap_or(&f.key).contains(wanted)
            };
            let hit = found
                .iter()
                .find(named)
                .ok_or_else(|| format!("{wanted} is not found"))?;
            let mut request = self.whole(&hit.key);
            request.version.clone_from(&hit.version);
            is(&self.read(request).await, b"v")?;
        }
        Ok(())
    }

    /// The backend's own time to wait, alone and for all.
    async fn throttled(&self) -> Checked {
        self.backend.put("busy", b"v");
        self.backend.throttle(7);
        for requests in [
            vec![self.whole("busy")],
            vec![self.whole("busy"), self.whole("other")],
        ] {
            for outcome in self.read_all(&requests).await {
                code(&outcome, Code::RateLimited)?;
                let wait = failure(&outcome).and_then(|f| f.retry_after);
                if wait != Some(Duration::from_secs(7)) {
                    return Err(format!("it says to wait {wait:?}"));
                }
            }
        }
        Ok(())
    }

    /// Whatever is not there in an outage is not absent.
    async fn outage(&self) -> Checked {
        self.backend.put("kept", b"v");
        self.backend.fail();
        for outcome in self
            .read_all(&[self.whole("kept"), self.whole("not-there")])
            .await
        {
            code(&outcome, Code::Unavailable)?;
        }
        self.backend.recover();
        is(&self.read(self.whole("kept")).await, b"v")
    }

    /// A new value comes with a new tag.
    async fn rotated(&self) -> Checked {
        self.backend.put("rotated", b"old");
        let first = self.read(self.whole("rotated")).await;
        self.backend.put("rotated", b"new");
        for requests in [vec!["rotated"], vec!["rotated", "other"]] {
            self.backend.put("other", b"v");
            let known = |key: &&str| Request {
                known: first.tag.clone(),
                ..self.whole(key)
            };
            let outcomes = self
                .read_all(&requests.iter().map(known).collect::<Vec<_>>())
                .await;
            is(&outcomes[0], b"new")?;
            if outcomes[0].tag == first.tag {
                return Err("the new value has the old tag".to_owned());
            }
        }
        Ok(())
    }

    /// Alone and with others, again and again; another tag brings the value.
    async fn unchanged(&self) -> Checked {
        self.backend.put("same-a", b"a");
        self.backend.put("same-b", b"b");
        let mut known = Vec::new();
        for outcome in self
            .read_all(&[self.whole("same-a"), self.whole("same-b")])
            .await
        {
            known.push(outcome.tag.ok_or("the value has no tag")?);
        }
        for _ in 0..2 {
            let of = |key: &str, tag: &String| Request {
                known: Some(tag.clone()),
                ..self.whole(key)
            };
            let both = [of("same-a", &known[0]), of("same-b", &known[1])];
            for requests in [&both[..], &both[..1]] {
                for (at, outcome) in self.read_all(requests).await.into_iter().enumerate() {
                    if outcome.answer != Answer::Unchanged {
                        return Err(format!("it is changed: {:?}", outcome.answer));
                    }
                    known[at] = outcome.tag.ok_or("an unchanged object has no tag")?;
                }
            }
        }
        let other = Request {
            known: Some("another tag".to_owned()),
            ..self.whole("same-a")
        };
        is(&self.read(other).await, b"a")
    }
}

/// A call with what the config needs: its endpoints and no other.
///
/// # Panics
/// Where `examine` refuses the config, or uses a reference that is not given.
pub async fn call(bench: &Bench, config: &str, credentials: Vec<Credential>) -> Call {
    let options = vec![
        (
            "provider-key".to_owned(),
            bench.revision.descriptor.serves[0].clone(),
        ),
        ("store-kind".to_owned(), "SecretStore".to_owned()),
        ("store-name".to_owned(), "table".to_owned()),
    ];
    let digest = &bench.revision.digest;
    let needs = bench
        .runtime
        .examine(digest, config, &credentials, &options)
        .await;
    let needs = needs.unwrap().unwrap();
    let endpoint = |e: &postern_core::plugin::Endpoint| AllowedEndpoint {
        origin: Origin::parse(&e.origin).unwrap(),
        tls: TlsSettings::default(),
    };
    Call {
        plugin: digest.clone(),
        identity: IdentityId("table".into()),
        config: config.into(),
        credentials,
        session: None,
        namespace: None,
        egress: Arc::new(EgressPolicy {
            endpoints: needs.endpoints.iter().map(endpoint).collect(),
            rules: AddressRules {
                loopback: true,
                ..AddressRules::default()
            },
            ..EgressPolicy::default()
        }),
        directories: Arc::default(),
        deadline: Duration::from_secs(30),
        options,
    }
}

fn of(key: &str, property: &str) -> Request {
    Request {
        picks: vec![Pick {
            property: Some(property.to_owned()),
            members: false,
        }],
        ..crate::request(key, None)
    }
}

fn failure(outcome: &Outcome) -> Option<&Failure> {
    match &outcome.answer {
        Answer::Failed(failure) => Some(failure),
        Answer::Parts(parts) => parts.iter().find_map(|part| match part {
            Part::Failed(failure) => Some(failure),
            Part::Value(_) | Part::Members(_) => None,
        }),
        Answer::Unchanged => None,
    }
}

fn is(outcome: &Outcome, value: &[u8]) -> Checked {
    match &outcome.answer {
        Answer::Parts(parts) => match &parts[..] {
            [Part::Value(got)] if got.expose() == value => Ok(()),
            [Part::Value(got)] => Err(format!("another value, of {} bytes", got.len())),
            other => Err(format!("{other:?}")),
        },
        other => Err(format!("no value: {other:?}")),
    }
}

fn code(outcome: &Outcome, wanted: Code) -> Checked {
    match failure(outcome) {
        Some(failure) if failure.code == wanted => Ok(()),
        Some(failure) => Err(format!("{wanted:?} was wanted: {failure:?}")),
        None => Err(format!("{wanted:?} was wanted: {:?}", outcome.answer)),
    }
}
