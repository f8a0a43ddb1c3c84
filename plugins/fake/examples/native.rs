//! The native half of the bench of a plugin call: the same read as a component makes it, in this process.
//!
//! Usage: `native CONFIG KEY PROPERTY CALLS`; prints one duration a line, in nanoseconds.

use std::time::Instant;

use postern_plugin_fake::Fake;
use postern_sdk::{Context, Files, Http, Log, Pick, Provider as _, Request};

/// The provider asks its host for nothing.
struct NoHost;
impl Http for NoHost {}
impl Files for NoHost {}
impl Log for NoHost {}
impl postern_sdk::Entropy for NoHost {}
impl postern_sdk::Templating for NoHost {}

fn main() -> Result<(), &'static str> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, key, property, calls] = arguments.as_slice() else {
        return Err("expected CONFIG KEY PROPERTY CALLS");
    };
    let calls: usize = calls.parse().map_err(|_| "CALLS is no number")?;
    let context = Context {
        config: config.clone(),
        deadline_ms: 30_000,
        ..Context::default()
    };
    let request = Request {
        key: key.clone(),
        picks: vec![Pick {
            property: Some(property.clone()),
            members: false,
        }],
        ..Request::default()
    };
    let mut times = Vec::with_capacity(calls);
    for turn in 0..calls + calls / 10 {
        let start = Instant::now();
        std::hint::black_box(Fake::get_batch(
            &NoHost,
            &context,
            std::slice::from_ref(&request),
        ));
        if turn >= calls / 10 {
            times.push(start.elapsed().as_nanos());
        }
    }
    for time in times {
        println!("{time}");
    }
    Ok(())
}
