//! Feeds a parser with what it should not be fed: a committed corpus, what becomes of it when bytes are changed at random,
//! and random bytes. On stable Rust, without knowledge of what the code has covered; what it lacks in cleverness the
//! corpus has to bring.
//!
//! A target passes when it neither panics nor hangs. An input that breaks it is kept below `target/fuzz`, and belongs
//! into the corpus with the correction.

#![allow(clippy::panic, reason = "a broken target fails the test that runs it")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long each target runs, in seconds; five where it is not set.
pub const SECONDS: &str = "POSTERN_FUZZ_SECONDS";
/// The seed of a run, to repeat it.
pub const SEED: &str = "POSTERN_FUZZ_SEED";

/// One input may take this long: a parser that needs longer can be used to stop the process.
const SLOW: Duration = Duration::from_secs(2);
/// Bytes of an input.
const LARGEST: usize = 4096;

/// Runs one target over `corpus/NAME` beside `manifest_dir`, and over what is made of it.
///
/// # Panics
/// With the path of the input, where the target panics or is slow, and where the corpus is missing.
pub fn fuzz(manifest_dir: &str, name: &str, target: impl Fn(&[u8])) {
    let corpus = corpus(&Path::new(manifest_dir).join("corpus").join(name));
    let seed = number(SEED).unwrap_or_else(|| fastrand::u64(..));
    let until = Instant::now() + Duration::from_secs(number(SECONDS).unwrap_or(5));
    println!(
        "fuzz {name}: {} inputs in the corpus, {SEED}={seed}",
        corpus.len()
    );
    let mut random = fastrand::Rng::with_seed(seed);
    let mut runs = 0_u64;
    for input in &corpus {
        run(name, &target, input);
    }
    while Instant::now() < until {
        let input = made(&mut random, &corpus);
        run(name, &target, &input);
        runs += 1;
    }
    println!("fuzz {name}: {runs} inputs made, none of them broke it");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn corpus(folder: &Path) -> Vec<Vec<u8>> {
    let read = || -> std::io::Result<Vec<Vec<u8>>> {
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder)? {
            paths.push(entry?.path());
        }
        paths.sort();
        paths.iter().map(fs::read).collect()
    };
    let corpus = read().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    assert!(!corpus.is_empty(), "{} is empty", folder.display());
    corpus
}

fn run(name: &str, target: &impl Fn(&[u8]), input: &[u8]) {
    let began = Instant::now();
    let ended = catch_unwind(AssertUnwindSafe(|| target(input)));
    let slow = began.elapsed() > SLOW;
    if ended.is_ok() && !slow {
        return;
    }
    let what = if slow {
        "takes too long over"
    } else {
        "panics at"
    };
    panic!("{name} {what} {}", kept(name, input).display());
}

/// Keeps an input that broke a target.
fn kept(name: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/fuzz")
        .join(name);
    let path = folder.join(format!("broke-{}", input.len()));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input));
    if let Err(error) = written {
        eprintln!("{}: {error}", path.display());
    }
    path
}

/// An input: one of the corpus with some changes, or, now and then, random bytes.
fn made(random: &mut fastrand::Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    if random.u8(..) < 8 {
        let length = random.usize(0..64);
        return (0..length).map(|_| random.u8(..)).collect();
    }
    let mut input = any(random, corpus).to_vec();
    for _ in 0..random.usize(1..8) {
        change(random, corpus, &mut input);
    }
    input.truncate(LARGEST);
    input
}

fn any<'a>(random: &mut fastrand::Rng, corpus: &'a [Vec<u8>]) -> &'a [u8] {
    random.choice(corpus).map_or(&[], Vec::as_slice)
}

/// A piece of some bytes.
fn piece<'a>(random: &mut fastrand::Rng, bytes: &'a [u8]) -> &'a [u8] {
    let from = random.usize(0..=bytes.len());
    let to = random.usize(from..=bytes.len().min(from + 64));
    &bytes[from..to]
}

/// Texts at which parsers tend to stumble.
const TOKENS: [&[u8]; 16] = [
    b"\0",
    b"\"",
    b"\\",
    b"{",
    b"[",
    b"-1",
    b"1e309",
    b"18446744073709551616",
    b"null",
    b"true",
    b"\n---\n",
    b"\xff\xfe",
    "\u{fffd}".as_bytes(),
    "\u{1F600}".as_bytes(),
    b"%zz",
    b"(((((((((((((((((((((((((((((((((",
];

fn change(random: &mut fastrand::Rng, corpus: &[Vec<u8>], input: &mut Vec<u8>) {
    let at = random.usize(0..=input.len());
    match random.u8(0..6) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.u8(0..8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.u8(..);
            }
        }
        2 => {
            let to = random.usize(at..=input.len().min(at + 32));
            input.drain(at..to);
        }
        3 => {
            let token = random.choice(TOKENS).unwrap_or_default();
            input.splice(at..at, token.iter().copied());
        }
        4 => {
            let again = piece(random, input).repeat(random.usize(1..16));
            input.splice(at..at, again);
        }
        _ => {
            let other = any(random, corpus);
            let other = piece(random, other).to_vec();
            input.splice(at..at, other);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_found_and_its_input_kept() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz/own");
        fs::create_dir_all(folder.join("corpus/own")).unwrap();
        fs::write(folder.join("corpus/own/one"), b"abc").unwrap();
        let broken = catch_unwind(|| {
            fuzz(&folder.to_string_lossy(), "own", |input| {
                assert!(!input.contains(&b'"'), "as the test wants");
            });
        });
        let text = *broken.unwrap_err().downcast::<String>().unwrap();
        let path = text.strip_prefix("own panics at ").unwrap();
        assert!(fs::read(path).unwrap().contains(&b'"'));
    }

    #[test]
    fn changes_reach_every_length_and_stay_bounded() {
        let mut random = fastrand::Rng::with_seed(7);
        let corpus = [vec![b'x'; 4000]];
        let made: Vec<usize> = (0..2000)
            .map(|_| made(&mut random, &corpus).len())
            .collect();
        assert!(made.iter().any(|&n| n < 4000) && made.iter().any(|&n| n > 4000));
        assert!(made.iter().all(|&n| n <= LARGEST));
    }
}
