//! The fetcher alone, over a reader that answers from a script and under a clock that stands still.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use postern_core::plugin::Found;
use postern_core::secret::SecretValue;

use super::*;

#[derive(Default)]
struct Syncs(Mutex<Option<Instant>>);

impl Pending for Syncs {
    fn oldest_due(&self) -> Option<Instant> {
        *self.0.lock().unwrap()
    }
}

#[derive(Default)]
struct Backend {
    values: Mutex<BTreeMap<String, Result<String, Failure>>>,
    asked: Mutex<Vec<Vec<Request>>>,
    lists: Mutex<Vec<Query>>,
    latency: Duration,
    running: AtomicUsize,
    most_running: AtomicUsize,
    panics: bool,
}

impl Backend {
    fn set(&self, key: &str, value: &str) {
        self.values
            .lock()
            .unwrap()
            .insert(key.into(), Ok(value.into()));
    }

    fn batches(&self) -> Vec<usize> {
        self.asked.lock().unwrap().iter().map(Vec::len).collect()
    }
}

impl Reader for Backend {
    fn read<'a>(&'a self, requests: &'a [Request]) -> Answering<'a, Vec<Outcome>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(requests.to_vec());
            // What a backend answers is decided when it is asked, and arrives later.
            let outcomes = requests.iter().map(|r| self.answer(r)).collect();
            self.most_running.fetch_max(
                self.running.fetch_add(1, Ordering::SeqCst) + 1,
                Ordering::SeqCst,
            );
            tokio::time::sleep(self.latency).await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            assert!(!self.panics, "the reader was told to panic");
            Ok(outcomes)
        })
    }

    fn list<'a>(&'a self, query: &'a Query) -> Answering<'a, Listing> {
        Box::pin(async move {
            let began = Instant::now();
            self.lists.lock().unwrap().push(query.clone());
            let keys: Vec<String> = self.values.lock().unwrap().keys().cloned().collect();
            self.most_running.fetch_max(
                self.running.fetch_add(1, Ordering::SeqCst) + 1,
                Ordering::SeqCst,
            );
            tokio::time::sleep(self.latency).await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            let found = keys.into_iter().map(|key| Found {
                key,
                name: None,
                version: None,
                value: None,
            });
            Ok(Listing {
                began,
                found: found.collect(),
                convert_names: false,
            })
        })
    }
}

impl Backend {
    fn answer(&self, request: &Request) -> Outcome {
        let answer = match self.values.lock().unwrap().get(&request.key) {
            None => Answer::Failed(Failure::new(Stage::Fetch, Code::Absent, "no such object")),
            Some(Err(failure)) => Answer::Failed(failure.clone()),
            Some(Ok(value)) => Answer::Parts(
                request
                    .picks
                    .iter()
                    .map(|pick| match &pick.property {
                        None => Part::Value(SecretValue::from(value.as_str())),
                        Some(property) => {
                            Part::Value(SecretValue::from(format!("{value}.{property}")))
                        }
                    })
                    .collect(),
            ),
        };
        Outcome { answer, tag: None }
    }
}

struct Desk {
    fetcher: Arc<Fetcher>,
    backend: Arc<Backend>,
    syncs: Arc<Syncs>,
    counters: Arc<Counters>,
}

const SECOND: Duration = Duration::from_secs(1);

fn desk(batch_size: usize, in_flight: usize, backend: Backend) -> Desk {
    let (syncs, counters) = (Arc::new(Syncs::default()), Arc::new(Counters::default()));
    let bounds = Bounds {
        batch_size,
        in_flight,
        linger: Duration::from_millis(2),
    };
    let fetcher = Fetcher::new(bounds, syncs.clone(), counters.clone(), Memory::default());
    Desk {
        fetcher,
        backend: Arc::new(backend),
        syncs,
        counters,
    }
}

fn slow() -> Backend {
    Backend {
        latency: SECOND,
        ..Backend::default()
    }
}

fn object(key: &str) -> Object {
    Object {
        key: key.into(),
        version: None,
        metadata: false,
    }
}

fn pick(property: Option<&str>) -> Pick {
    Pick {
        property: property.map(str::to_owned),
        members: false,
    }
}

impl Desk {
    /// Starts a read of one key, due now.
    fn start(
        &self,
        key: &str,
        property: Option<&str>,
    ) -> tokio::task::JoinHandle<Result<String, Code>> {
        self.start_due(key, property, Instant::now(), 60 * SECOND)
    }

    fn start_due(
        &self,
        key: &str,
        property: Option<&str>,
        due: Instant,
        patience: Duration,
    ) -> tokio::task::JoinHandle<Result<String, Code>> {
        let (fetcher, reader) = (
            self.fetcher.clone(),
            self.backend.clone() as Arc<dyn Reader>,
        );
        let wanted = vec![(object(key), pick(property))];
        tokio::spawn(async move {
            let span = Span {
                due,
                deadline: Instant::now() + patience,
            };
            text(fetcher.fetch(&reader, wanted, span).await.remove(0))
        })
    }

    fn kept_bytes(&self) -> usize {
        self.fetcher.lock().objects.kept_bytes()
    }
}

fn text(part: Result<Part, Failure>) -> Result<String, Code> {
    match part {
        Ok(Part::Value(value)) => Ok(String::from_utf8_lossy(value.expose()).into_owned()),
        Ok(other) => panic!("not a value: {other:?}"),
        Err(failure) => Err(failure.code),
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_over_few_keys_asks_each_key_once() {
    let desk = desk(0, 8, slow());
    for key in 0..100 {
        desk.backend.set(&key.to_string(), "v");
    }
    let all: Vec<_> = (0..1000)
        .map(|n| desk.start(&(n % 100).to_string(), None))
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Ok("v".into()));
    }
    assert_eq!(desk.backend.batches(), [100]);
    assert_eq!(
        (
            desk.counters.snapshot().reads,
            desk.counters.snapshot().coalesced
        ),
        (100, 900)
    );
}

#[tokio::test(start_paused = true)]
async fn picks_of_one_object_are_read_once() {
    let desk = desk(0, 8, slow());
    desk.backend.set("db", "v");
    let (user, password, whole) = (
        desk.start("db", Some("user")),
        desk.start("db", Some("password")),
        desk.start("db", None),
    );
    assert_eq!(user.await.unwrap(), Ok("v.user".into()));
    assert_eq!(password.await.unwrap(), Ok("v.password".into()));
    assert_eq!(whole.await.unwrap(), Ok("v".into()));
    let asked = desk.backend.asked.lock().unwrap();
    assert_eq!(
        (asked.len(), asked[0].len(), asked[0][0].picks.len()),
        (1, 1, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn a_value_changed_after_a_fetch_began_is_not_served_to_a_sync_due_later() {
    let desk = desk(0, 8, slow());
    desk.backend.set("db", "old");
    let early = desk.start("db", None);
    pass(SECOND / 2).await;
    desk.backend.set("db", "new");
    let late = desk.start("db", None);
    assert_eq!(late.await.unwrap(), Ok("new".into()));
    assert_eq!(early.await.unwrap(), Ok("old".into()));
    assert_eq!(desk.backend.batches(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_began_in_time_is_joined() {
    let desk = desk(0, 8, slow());
    desk.backend.set("db", "v");
    let due = Instant::now();
    let first = desk.start("db", None);
    pass(SECOND / 2).await;
    let second = desk.start_due("db", None, due, 60 * SECOND);
    assert_eq!(
        (first.await.unwrap(), second.await.unwrap()),
        (Ok("v".into()), Ok("v".into()))
    );
    assert_eq!(desk.backend.batches(), [1]);
}

#[tokio::test(start_paused = true)]
async fn all_who_come_too_late_for_one_fetch_share_the_next() {
    let desk = desk(0, 8, slow());
    desk.backend.set("db", "v");
    let first = desk.start("db", None);
    pass(SECOND / 2).await;
    let late: Vec<_> = (0..50).map(|_| desk.start("db", None)).collect();
    for one in late {
        assert_eq!(one.await.unwrap(), Ok("v".into()));
    }
    first.await.unwrap().unwrap();
    assert_eq!(desk.backend.batches(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_serves_a_sync_that_was_due_before_and_is_dropped_after_the_last() {
    let desk = desk(0, 8, slow());
    desk.backend.set("db", "v");
    let due = Instant::now();
    *desk.syncs.0.lock().unwrap() = Some(due);
    desk.start("db", None).await.unwrap().unwrap();
    assert_eq!(desk.kept_bytes(), 1);
    assert_eq!(
        desk.start_due("db", None, due, SECOND).await.unwrap(),
        Ok("v".into())
    );
    assert_eq!(desk.backend.batches(), [1]);
    *desk.syncs.0.lock().unwrap() = Some(Instant::now());
    pass(SECOND).await;
    assert_eq!(desk.kept_bytes(), 0);
    desk.start_due("db", None, due, 2 * SECOND)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(desk.backend.batches(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_kept_outcome_is_not_served_to_a_sync_due_after_it_began() {
    let desk = desk(0, 8, slow());
    desk.backend.set("db", "old");
    *desk.syncs.0.lock().unwrap() = Some(Instant::now());
    desk.start("db", None).await.unwrap().unwrap();
    desk.backend.set("db", "new");
    assert_eq!(desk.start("db", None).await.unwrap(), Ok("new".into()));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_where_no_sync_waits() {
    let desk = desk(0, 8, slow());
    desk.backend.set("db", "v");
    desk.start("db", None).await.unwrap().unwrap();
    assert_eq!(desk.kept_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_dropped_after_thirty_seconds_whoever_still_waits() {
    let desk = desk(0, 8, slow());
    desk.backend.set("db", "v");
    let due = Instant::now();
    *desk.syncs.0.lock().unwrap() = Some(due);
    desk.start("db", None).await.unwrap().unwrap();
    pass(28 * SECOND).await;
    assert_eq!(desk.kept_bytes(), 1);
    pass(2 * SECOND).await;
    assert_eq!(desk.kept_bytes(), 0);
    desk.start_due("db", None, due, 60 * SECOND)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(desk.backend.batches(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_eight_mebibytes_are_kept_and_the_oldest_goes_first() {
    let desk = desk(1, 1, slow());
    let due = Instant::now();
    *desk.syncs.0.lock().unwrap() = Some(due);
    for key in ["a", "b", "c"] {
        desk.backend.set(key, &"x".repeat(3 << 20));
        desk.start_due(key, None, due, 60 * SECOND)
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(desk.kept_bytes(), 6 << 20);
    desk.start_due("c", None, due, 60 * SECOND)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(desk.backend.batches().len(), 3);
    desk.start_due("a", None, due, 60 * SECOND)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(desk.backend.batches().len(), 4);
    desk.backend.set("big", &"x".repeat(9 << 20));
    desk.start_due("big", None, due, 60 * SECOND)
        .await
        .unwrap()
        .unwrap();
    assert!(desk.kept_bytes() <= KEEP_BYTES);
}

#[tokio::test(start_paused = true)]
async fn failures_are_shared_like_values() {
    let desk = desk(0, 8, slow());
    let all: Vec<_> = (0..20).map(|_| desk.start("gone", None)).collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Err(Code::Absent));
    }
    assert_eq!(desk.backend.batches(), [1]);
    assert_eq!(desk.counters.snapshot().failures, 1);
}

#[tokio::test(start_paused = true)]
async fn one_objects_failure_is_no_others() {
    let desk = desk(0, 8, slow());
    desk.backend.set("there", "v");
    let (there, gone) = (desk.start("there", None), desk.start("gone", None));
    assert_eq!(
        (there.await.unwrap(), gone.await.unwrap()),
        (Ok("v".into()), Err(Code::Absent))
    );
    assert_eq!(desk.backend.batches(), [2]);
}

#[tokio::test(start_paused = true)]
async fn batches_are_no_larger_than_the_plugin_says_and_calls_no_more_than_the_bound() {
    let desk = desk(10, 3, slow());
    for key in 0..95 {
        desk.backend.set(&key.to_string(), "v");
    }
    let all: Vec<_> = (0..95)
        .map(|key| desk.start(&key.to_string(), None))
        .collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    let mut batches = desk.backend.batches();
    batches.sort_unstable();
    assert_eq!(batches, [5, 10, 10, 10, 10, 10, 10, 10, 10, 10]);
    assert_eq!(desk.backend.most_running.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_pauses_all_keys_and_says_so_to_those_who_cannot_wait() {
    let desk = desk(0, 8, Backend::default());
    desk.backend.set("b", "v");
    let limited = Failure::new(Stage::Fetch, Code::RateLimited, "slow down")
        .with_retry_after(Some(20 * SECOND));
    desk.backend
        .values
        .lock()
        .unwrap()
        .insert("a".into(), Err(limited));
    assert_eq!(desk.start("a", None).await.unwrap(), Err(Code::RateLimited));
    let began = Instant::now();
    let (patient, hurried) = (
        desk.start("b", None),
        desk.start_due("b", None, began, 5 * SECOND),
    );
    assert_eq!(hurried.await.unwrap(), Err(Code::RateLimited));
    assert!(began.elapsed() < SECOND);
    assert_eq!(patient.await.unwrap(), Ok("v".into()));
    assert!(began.elapsed() >= 19 * SECOND, "{:?}", began.elapsed());
    assert_eq!(desk.backend.batches(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_without_a_time_is_a_second_and_none_is_longer_than_five_minutes() {
    for (asked, pause) in [(None, SECOND), (Some(7200 * SECOND), 300 * SECOND)] {
        let desk = desk(0, 8, Backend::default());
        desk.backend.set("b", "v");
        let limited =
            Failure::new(Stage::Fetch, Code::RateLimited, "slow down").with_retry_after(asked);
        desk.backend
            .values
            .lock()
            .unwrap()
            .insert("a".into(), Err(limited));
        desk.start("a", None).await.unwrap().unwrap_err();
        let began = Instant::now();
        desk.start_due("b", None, began, 3600 * SECOND)
            .await
            .unwrap()
            .unwrap();
        assert!(
            began.elapsed() + SECOND / 10 >= pause && began.elapsed() <= pause + SECOND / 10,
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_goes_away_harms_no_other() {
    let desk = desk(0, 8, slow());
    desk.backend.set("db", "v");
    let (first, second) = (desk.start("db", None), desk.start("db", None));
    pass(SECOND / 2).await;
    first.abort();
    assert_eq!(second.await.unwrap(), Ok("v".into()));
    assert_eq!(desk.backend.batches(), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_any_more_is_not_asked() {
    let desk = desk(0, 8, slow());
    desk.backend.set("kept", "v");
    let (gone, kept) = (desk.start("gone", None), desk.start("kept", None));
    tokio::task::yield_now().await;
    gone.abort();
    kept.await.unwrap().unwrap();
    assert_eq!(
        desk.backend.asked.lock().unwrap()[0]
            .iter()
            .map(|r| r.key.as_str())
            .collect::<Vec<_>>(),
        ["kept"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_call_is_a_failure_for_its_waiters_and_frees_its_place() {
    let mut desk = desk(
        0,
        1,
        Backend {
            panics: true,
            ..Backend::default()
        },
    );
    desk.backend.set("db", "v");
    assert_eq!(desk.start("db", None).await.unwrap(), Err(Code::Internal));
    desk.backend = Arc::new(Backend::default());
    desk.backend.set("db", "v");
    assert_eq!(desk.start("db", None).await.unwrap(), Ok("v".into()));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_gives_up_at_its_deadline() {
    let desk = desk(
        0,
        8,
        Backend {
            latency: 3600 * SECOND,
            ..Backend::default()
        },
    );
    let began = Instant::now();
    assert_eq!(
        desk.start_due("db", None, began, 5 * SECOND).await.unwrap(),
        Err(Code::Timeout)
    );
    assert_eq!(began.elapsed(), 5 * SECOND);
}

async fn search(desk: &Desk, path: &str, due: Instant) -> Vec<String> {
    let reader: Arc<dyn Reader> = desk.backend.clone();
    let query = Query {
        path: Some(path.into()),
        ..Query::default()
    };
    let span = Span {
        due,
        deadline: Instant::now() + 60 * SECOND,
    };
    let listing = desk.fetcher.list(&reader, &query, span).await.unwrap();
    listing
        .found
        .iter()
        .map(|found| found.key.clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn equal_searches_share_one_list_and_others_do_not() {
    let desk = desk(0, 8, slow());
    desk.backend.set("a", "1");
    let due = Instant::now();
    let all = (0..20).map(|n| search(&desk, if n % 2 == 0 { "x" } else { "y" }, due));
    for found in futures::future::join_all(all).await {
        assert_eq!(found, ["a"]);
    }
    assert_eq!(desk.backend.lists.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_began_before_a_change_is_not_given_to_who_is_due_after_it() {
    let desk = desk(0, 8, slow());
    desk.backend.set("a", "1");
    let (early, late) = tokio::join!(search(&desk, "x", Instant::now()), async {
        tokio::time::sleep(SECOND / 2).await;
        desk.backend.set("b", "2");
        search(&desk, "x", Instant::now()).await
    });
    assert_eq!(
        (early, late),
        (vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(desk.backend.lists.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn searches_and_reads_count_against_one_limit() {
    let desk = desk(1, 2, slow());
    desk.backend.set("a", "1");
    let due = Instant::now();
    let paths: Vec<String> = (0..6).map(|n| n.to_string()).collect();
    let searches = paths.iter().map(|path| search(&desk, path, due));
    let reads = futures::future::join_all((0..6).map(|n| desk.start(&n.to_string(), None)));
    tokio::join!(futures::future::join_all(searches), reads);
    assert_eq!(desk.backend.most_running.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_kept_only_while_a_sync_that_was_due_before_is_under_way() {
    let desk = desk(0, 8, slow());
    desk.backend.set("a", "1");
    let due = Instant::now();
    *desk.syncs.0.lock().unwrap() = Some(due);
    tokio::time::sleep(SECOND / 10).await;
    search(&desk, "x", due).await;
    search(&desk, "x", due).await;
    assert_eq!(desk.backend.lists.lock().unwrap().len(), 1);
    *desk.syncs.0.lock().unwrap() = None;
    tokio::time::sleep(SECOND).await;
    assert_eq!(desk.fetcher.lock().lists.kept_bytes(), 0);
    search(&desk, "x", due).await;
    assert_eq!(desk.backend.lists.lock().unwrap().len(), 2);
}
