//! Each limit is broken by a guest: a clear failure, the next call works, nothing secret in any text.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postern_core::failure::{Code, Failure};
use postern_core::plugin::{
    Answer, Digest, Part, Pick, PluginHost as _, Query, RenderJob, Template,
};
use postern_runtime::aot::CompileWith;
use postern_runtime::{Limits, Runtime};
use serde_json::json;

use crate::kit::{self, Logged, SENTINELS, bench_in, guest, hostile, request};
use crate::wat_guest;

#[tokio::test]
async fn an_endless_loop_ends_when_its_cpu_time_is_used_up() {
    let bench = hostile().await;
    let started = Instant::now();
    let failure = bench.broken(&bench.call(json!({"do": "loop"}))).await;
    assert_eq!(failure.code, Code::LimitExceeded);
    assert_eq!(
        failure.public,
        "plugin hostile 0.1.0 used more than 2 s of CPU time in read.get-batch"
    );
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_loop_that_outlasts_the_deadline_is_a_timeout_and_others_run_meanwhile() {
    let bench = hostile().await;
    let mut call = bench.call(json!({"do": "loop"}));
    call.deadline = Duration::from_millis(300);
    let honest = bench.call(json!({}));
    // One thread serves both: the loop must yield.
    let (looping, answered) = tokio::join!(bench.read(&call), bench.read(&honest));
    assert_eq!(kit::value_of(&answered.unwrap()), "k1");
    let failure = kit::clean(looping.unwrap_err());
    assert_eq!(failure.code, Code::Timeout);
    assert!(
        failure.public.contains("did not finish within 0.3 s"),
        "{failure}"
    );
}

#[tokio::test]
async fn an_endless_allocation_ends_at_the_memory_limit() {
    let bench = hostile().await;
    let failure = bench.broken(&bench.call(json!({"do": "alloc"}))).await;
    assert_eq!(failure.code, Code::LimitExceeded);
    assert_eq!(
        failure.public,
        "plugin hostile 0.1.0 wanted more than 64 MiB of memory in read.get-batch"
    );
}

#[tokio::test]
async fn several_memories_share_one_limit() {
    // Each memory stays below the limit, the three together do not.
    let bench = bench_in(kit::runtime(), &wat_guest::growing_memories(3, 400)).await;
    let failure = kit::clean(bench.read(&bench.call(json!({}))).await.unwrap_err());
    assert_eq!(failure.code, Code::LimitExceeded, "{failure:?}");
    assert!(
        failure.public.contains("more than 64 MiB of memory"),
        "{failure}"
    );
    let bench = bench_in(kit::runtime(), &wat_guest::growing_memories(2, 400)).await;
    let failure = kit::clean(bench.read(&bench.call(json!({}))).await.unwrap_err());
    assert_eq!(
        failure.code,
        Code::ContractBroken,
        "two of them fit, and the guest gets on to answer nothing: {failure:?}"
    );
}

#[tokio::test]
async fn a_table_grows_to_its_limit_and_no_further() {
    let bench = bench_in(kit::runtime(), &wat_guest::growing_table(200_000)).await;
    let failure = kit::clean(bench.read(&bench.call(json!({}))).await.unwrap_err());
    assert_eq!(failure.code, Code::LimitExceeded, "{failure:?}");
    assert!(
        failure
            .public
            .contains("table of more than 100000 elements"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_trap_is_a_failure_of_this_call_alone() {
    let bench = hostile().await;
    let failure = bench.broken(&bench.call(json!({"do": "trap"}))).await;
    assert_eq!(failure.code, Code::Trapped);
    assert_eq!(
        failure.public,
        "plugin hostile 0.1.0 gave up (it panicked or aborted) in read.get-batch"
    );
}

#[tokio::test]
async fn a_deep_recursion_uses_up_the_guests_stack_not_ours() {
    let bench = hostile().await;
    let failure = bench
        .broken(&bench.call(json!({"do": "recurse", "n": 10_000_000})))
        .await;
    assert!(
        matches!(failure.code, Code::LimitExceeded | Code::Trapped),
        "{failure:?}"
    );
}

#[tokio::test]
async fn values_are_limited_one_by_one_and_together() {
    let bench = hostile().await;
    let mib = 1 << 20;
    assert!(
        bench
            .read(&bench.call(json!({"do": "big-value", "n": mib})))
            .await
            .is_ok()
    );
    let failure = bench
        .broken(&bench.call(json!({"do": "big-value", "n": mib + 1})))
        .await;
    assert_eq!(failure.code, Code::LimitExceeded);
    assert!(
        failure
            .public
            .contains("a value of 1048577 bytes, more than 1024 KiB"),
        "{failure}"
    );
    let many: Vec<_> = (0..17).map(|i| request(&i.to_string())).collect();
    let failure = bench
        .runtime
        .read(&bench.call(json!({"do": "big-value", "n": mib})), &many)
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::LimitExceeded);
    assert!(
        failure.public.contains("more than 16 MiB at once"),
        "{failure}"
    );
}

#[tokio::test]
async fn more_than_the_host_would_copy_is_refused() {
    let bench = hostile().await;
    let failure = bench
        .broken(&bench.call(json!({"do": "big-value", "n": 25 << 20})))
        .await;
    assert_eq!(failure.code, Code::LimitExceeded, "{failure:?}");
    assert!(
        failure.public.contains("more than 24 MiB at once"),
        "{failure}"
    );
}

#[tokio::test]
async fn members_are_counted() {
    let bench = hostile().await;
    let mut asked = request("k1");
    asked.picks = vec![Pick {
        property: None,
        members: true,
    }];
    let call = bench.call(json!({"do": "many-members", "n": 10_001}));
    let failure = bench
        .runtime
        .read(&call, &[asked.clone()])
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::LimitExceeded);
    assert!(
        failure.public.contains("more than 10000 values"),
        "{failure}"
    );
    let outcomes = bench
        .runtime
        .read(&bench.call(json!({"do": "many-members", "n": 3})), &[asked])
        .await
        .unwrap();
    assert!(
        matches!(&outcomes[0].answer, Answer::Parts(p) if matches!(&p[0], Part::Members(m) if m.len() == 3))
    );
    let found = bench.call(json!({"do": "many-found", "n": 10_001}));
    let failure = bench
        .runtime
        .find(&found, &Query::default(), None)
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::LimitExceeded);
}

#[tokio::test]
async fn counts_that_do_not_fit_the_question_break_the_contract() {
    let bench = hostile().await;
    let table = [
        (
            json!({"do": "no-outcomes"}),
            "answered 1 requests with 0 outcomes",
        ),
        (
            json!({"do": "many-outcomes", "n": 3}),
            "answered 1 requests with 3 outcomes",
        ),
        (
            json!({"do": "many-parts", "n": 2}),
            "answered 1 picks with 2 parts",
        ),
        (
            json!({"do": "many-members", "n": 2}),
            "answered members where a value was picked",
        ),
        (
            json!({"do": "unchanged"}),
            "answered `unchanged` where no tag was offered",
        ),
    ];
    for (config, text) in table {
        let failure = bench.broken(&bench.call(config)).await;
        assert_eq!(failure.code, Code::ContractBroken, "{failure:?}");
        assert!(failure.public.contains(text), "{failure}");
    }
    let mut known = request("k1");
    known.known = Some("t1".into());
    let outcomes = bench
        .runtime
        .read(&bench.call(json!({"do": "unchanged"})), &[known])
        .await
        .unwrap();
    assert_eq!(outcomes[0].answer, Answer::Unchanged);
}

#[tokio::test]
async fn a_text_that_is_not_utf8_breaks_the_contract() {
    let bench = hostile().await;
    let failure = bench.broken(&bench.call(json!({"do": "bad-utf8"}))).await;
    assert_eq!(failure.code, Code::ContractBroken, "{failure:?}");
    assert!(
        failure.public.contains("a text that is not valid UTF-8"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_guests_text_is_one_line_cut_and_without_values() {
    let bench = hostile().await;
    let failure = bench
        .reported(&bench.call(json!({"do": "control-text"})))
        .await;
    assert_eq!(failure.public, "a b [31mred line");
    let failure = bench
        .reported(&bench.call(json!({"do": "long-text", "n": 10_000})))
        .await;
    assert!(failure.public.len() <= 400, "{}", failure.public.len());
    let failure = bench.reported(&bench.call(json!({"do": "leak"}))).await;
    assert_eq!(failure.public, "session <redacted> credentials <redacted>");
}

#[tokio::test]
async fn an_unknown_code_is_the_plugins_fault_and_a_known_one_keeps_its_wait() {
    let bench = hostile().await;
    let failure = bench.reported(&bench.call(json!({"do": "bad-code"}))).await;
    assert_eq!(failure.code, Code::ContractBroken);
    assert!(
        failure.public.contains("unknown code \"surprise\""),
        "{failure}"
    );
    let failure = bench
        .reported(&bench.call(json!({"do": "rate-limited"})))
        .await;
    assert_eq!(
        (failure.code, failure.retry_after),
        (Code::RateLimited, Some(Duration::from_millis(1500)))
    );
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_counted() {
    let bench = hostile().await;
    let (logged, _guard) = Logged::start();
    assert_eq!(
        bench
            .value(&bench.call(json!({"do": "log-flood", "n": 1000})))
            .await,
        "k1"
    );
    let text = logged.text();
    assert_eq!(text.lines().filter(|l| l.contains("flood ")).count(), 64);
    assert_eq!(
        text.lines()
            .filter(|l| l.contains("further lines of this call are dropped"))
            .count(),
        1
    );
    assert!(text.lines().all(|l| l.len() < 1300), "each line is cut");
}

#[tokio::test]
async fn a_log_line_never_shows_a_value_of_the_call() {
    let bench = hostile().await;
    let (logged, _guard) = Logged::start();
    assert_eq!(
        bench.value(&bench.call(json!({"do": "log-secrets"}))).await,
        "k1"
    );
    let text = logged.text();
    assert!(
        text.contains("session <redacted> credentials <redacted>"),
        "{text}"
    );
    for sentinel in SENTINELS {
        assert!(!text.contains(sentinel), "{text}");
    }
}

/// A runtime whose template engine may use 200 ms of CPU time a render, and that engine.
async fn brief_engine() -> (Arc<Runtime>, Digest) {
    let limits = Limits {
        cpu: Duration::from_millis(200),
        ..Limits::engine()
    };
    let runtime = Runtime::builder()
        .compile_with(CompileWith::InProcess)
        .engine_limits(limits)
        .build()
        .unwrap();
    let engine = runtime.load_bytes(&guest("engine"), false).await.unwrap();
    (Arc::new(runtime), engine.digest.clone())
}

async fn rendered(runtime: &Runtime, engine: &Digest, source: &str) -> Result<String, Failure> {
    let template = Template {
        name: "t".into(),
        source: source.into(),
        options: vec![],
    };
    let job = RenderJob {
        templates: vec![template],
        data: vec![],
    };
    let mut jobs = runtime.render(engine, &[job], &vec![]).await?;
    let text = jobs.remove(0).remove(0)?;
    Ok(String::from_utf8(text.expose().to_vec()).unwrap())
}

#[tokio::test]
async fn an_engine_that_loops_ends_too() {
    let (runtime, engine) = brief_engine().await;
    let failure = rendered(&runtime, &engine, "loop").await.unwrap_err();
    assert_eq!(failure.code, Code::LimitExceeded, "{failure:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_render_does_not_pay_for_those_before_it() {
    let (runtime, engine) = brief_engine().await;
    // Three rounds of the places there are, each of which takes all the CPU time that a render may use.
    let loops: Vec<_> = (0..48)
        .map(|_| {
            let (runtime, engine) = (runtime.clone(), engine.clone());
            tokio::spawn(async move { rendered(&runtime, &engine, "loop").await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(rendered(&runtime, &engine, "text").await.unwrap(), "text");
    for looping in loops {
        let failure = looping.await.unwrap().unwrap_err();
        assert_eq!(failure.code, Code::LimitExceeded, "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_places_wait_for_their_turn() {
    let bench = Arc::new(hostile().await);
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.value(&bench.call(json!({}))).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), "k1");
    }
}
