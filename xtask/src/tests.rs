//! `cargo xtask test`: prepares what the tests need, runs them all, and adds up their counts.
//!
//! It closes with one plain line, `N passed, N failed`. A step that breaks without a failed test counts as one failure:
//! a run that tested nothing must not look green.

use std::process::{Command, ExitCode};

use crate::steps::{Steps, cargo};

/// What the tests came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

/// Runs everything. Arguments go to `cargo test` of the workspace, such as `-p postern-core`.
pub fn run(steps: &mut Steps, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let mut counts = Counts::default();
    if prepare(steps, &mut counts) {
        workspace(steps, arguments, &mut counts)?;
        if arguments.is_empty() {
            natively(steps, "plugins", &mut counts)?;
            natively(steps, "sdk/rust", &mut counts)?;
            natively(steps, "sdk/rust/template", &mut counts)?;
            natively(steps, "examples", &mut counts)?;
            for (folder, packages) in GO {
                go(steps, folder, packages, &mut counts)?;
            }
            // Building the template puts the SDK where its tests look for it; examples have been built by now.
            if let Err(error) = crate::template(steps, "js") {
                eprintln!("--- {error:#}");
                counts.failed += 1;
            }
            for folder in JS {
                js(steps, folder, &mut counts)?;
            }
            for folder in PYTHON {
                python(steps, folder, &mut counts)?;
            }
        }
    }
    steps.summary();
    println!("{} passed, {} failed", counts.passed, counts.failed);
    Ok(if counts.failed == 0 && counts.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Builds the workspace at once, so that features unify and nothing is compiled twice, then what the tests read. Without
/// the workspace no test can run; without one of the others the tests that need it fail by themselves and say so.
fn prepare(steps: &mut Steps, counts: &mut Counts) -> bool {
    let built = steps.cargo(
        "build the workspace and its tests",
        &["build", "--workspace", "--bins", "--tests", "--locked"],
    );
    if let Err(error) = built {
        eprintln!("--- {error:#}");
        counts.failed += 1;
        return false;
    }
    steps.workspace_is_built();
    for step in [crate::guests, crate::tools, crate::bundle] {
        if let Err(error) = step(steps) {
            eprintln!("--- {error:#}");
            counts.failed += 1;
        }
    }
    true
}

fn workspace(steps: &mut Steps, arguments: &[String], counts: &mut Counts) -> anyhow::Result<()> {
    let mut all = vec!["test", "--no-fail-fast", "--locked"];
    if arguments.is_empty() {
        all.push("--workspace");
    }
    all.extend(arguments.iter().map(String::as_str));
    rust(
        steps,
        "test the workspace",
        cargo(steps.root(), &all),
        counts,
    )
}

/// Plugins and SDK are workspaces of their own; their request and response code is tested natively.
fn natively(steps: &mut Steps, folder: &str, counts: &mut Counts) -> anyhow::Result<()> {
    let mut command = cargo(
        &steps.root().join(folder),
        &["test", "--workspace", "--no-fail-fast", "--locked"],
    );
    // Their own target folders: they are built for another target elsewhere, and must not wait for our lock.
    command.env_remove("CARGO_TARGET_DIR");
    rust(steps, &format!("test {folder}"), command, counts)
}

fn rust(
    steps: &mut Steps,
    what: &str,
    command: Command,
    counts: &mut Counts,
) -> anyhow::Result<()> {
    let mut here = Counts::default();
    let well = steps.watch(what, command, |line| {
        here.add(cargo_line(line));
        true
    })?;
    counts.take(here, well);
    Ok(())
}

/// Go modules, and which of their packages have tests.
const GO: [(&str, &str); 4] = [
    ("plugins/go-template", "./engine/..."),
    ("sdk/go", "./..."),
    ("sdk/go/template", "./..."),
    ("examples/provider-go", "./..."),
];

fn go(steps: &mut Steps, folder: &str, packages: &str, counts: &mut Counts) -> anyhow::Result<()> {
    let mut command = Command::new("go");
    // Go keeps results, and does not see that a file outside of the module has changed, such as a page that is tested.
    command
        .args(["test", "-v", "-count=1", packages])
        .current_dir(steps.root().join(folder));
    let mut here = Counts::default();
    let mut hidden = Vec::new();
    let well = steps.watch(&format!("test {folder}"), command, |line| {
        here.add(go_line(line));
        hidden.push(line.to_owned());
        line.starts_with("ok") || line.starts_with("FAIL")
    })?;
    if !well {
        // `go test -v` is long; it is shown where it tells something.
        for line in hidden {
            println!("{line}");
        }
    }
    counts.take(here, well);
    Ok(())
}

/// Folders below which node finds tests.
const JS: [&str; 3] = ["sdk/js/test", "sdk/js/template", "examples/provider-js"];

fn js(steps: &mut Steps, folder: &str, counts: &mut Counts) -> anyhow::Result<()> {
    let what = format!("test {folder}");
    let mut command = Command::new("node");
    command
        .args(["--test", "--test-reporter=tap"])
        .current_dir(steps.root().join(folder));
    let mut here = Counts::default();
    let mut hidden = Vec::new();
    let watched = steps.watch(&what, command, |line| {
        here.add(tap_line(line));
        hidden.push(line.to_owned());
        false
    });
    let well = watched.unwrap_or_else(|error| {
        eprintln!("--- {error:#}; install Node.js 20 or newer from https://nodejs.org or your distribution");
        false
    });
    if !well {
        for line in hidden {
            println!("{line}");
        }
    }
    counts.take(here, well);
    Ok(())
}

/// Folders in whose `tests` Python finds tests.
const PYTHON: [&str; 3] = [
    "sdk/python",
    "sdk/python/template",
    "examples/provider-python",
];

fn python(steps: &mut Steps, folder: &str, counts: &mut Counts) -> anyhow::Result<()> {
    // unittest writes to standard error.
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec python3 -m unittest 2>&1"])
        .env("PYTHONPATH", steps.root().join("sdk/python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(steps.root().join(folder));
    let mut here = Counts::default();
    let well = steps.watch(&format!("test {folder}"), command, |line| {
        let seen = unittest_line(line);
        here.passed = (here.passed + seen.passed).saturating_sub(seen.failed);
        here.failed += seen.failed;
        true
    })?;
    if !well && here == Counts::default() {
        eprintln!(
            "--- Python tests need Python 3.10 or newer: install it from https://python.org or your distribution"
        );
    }
    counts.take(here, well);
    Ok(())
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Adds a step's counts; one that broke without a failed test counts as one.
    fn take(&mut self, mut step: Self, well: bool) {
        if !well && step.failed == 0 {
            step.failed = 1;
        }
        self.add(step);
    }
}

/// Reads `test result: ok. 5 passed; 0 failed; 0 ignored; …`.
fn cargo_line(line: &str) -> Counts {
    let Some((_, result)) = line.split_once("test result: ") else {
        return Counts::default();
    };
    let number = |word: &str| {
        let before = result
            .split(word)
            .next()
            .filter(|before| before.len() < result.len())?;
        before
            .trim_end()
            .rsplit(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    Counts {
        passed: number(" passed").unwrap_or(0),
        failed: number(" failed").unwrap_or(0),
    }
}

/// Reads `--- PASS: TestName (0.00s)`; a subtest's line is indented and belongs to its test.
fn go_line(line: &str) -> Counts {
    Counts {
        passed: u64::from(line.starts_with("--- PASS: ")),
        failed: u64::from(line.starts_with("--- FAIL: ")),
    }
}

/// Reads the closing lines `# pass 5` and `# fail 0` of TAP as node writes it.
fn tap_line(line: &str) -> Counts {
    let number = |name: &str| {
        line.strip_prefix(name)
            .and_then(|rest| rest.trim().parse().ok())
    };
    Counts {
        passed: number("# pass ").unwrap_or(0),
        failed: number("# fail ").unwrap_or(0),
    }
}

/// Reads `Ran 7 tests in 0.1s`, which counts those that failed as well, and `FAILED (failures=1, errors=2)`.
fn unittest_line(line: &str) -> Counts {
    let ran = line
        .strip_prefix("Ran ")
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    let failed = line.strip_prefix("FAILED (").map(|rest| {
        rest.trim_end_matches(')')
            .split(", ")
            .filter_map(|part| part.split_once('='))
            .filter(|(what, _)| ["failures", "errors"].contains(what))
            .filter_map(|(_, number)| number.parse::<u64>().ok())
            .sum()
    });
    Counts {
        passed: ran.unwrap_or(0),
        failed: failed.unwrap_or(0),
    }
}

#[cfg(test)]
mod cases {
    use super::{Counts, cargo_line, go_line, tap_line, unittest_line};

    #[test]
    fn reads_the_counts_of_unittest() {
        for (line, passed, failed) in [
            ("Ran 30 tests in 0.004s", 30, 0),
            ("Ran 1 test in 0.004s", 1, 0),
            ("FAILED (failures=1, errors=2, skipped=4)", 0, 3),
            ("OK", 0, 0),
            ("FAILED", 0, 0),
        ] {
            assert_eq!(unittest_line(line), Counts { passed, failed }, "{line}");
        }
    }

    #[test]
    fn reads_the_counts_of_node() {
        let lines = [
            "ok 1 - # pass 9 of a name",
            "# tests 7",
            "# pass 5",
            "# fail 2",
        ];
        let mut counts = Counts::default();
        for line in lines {
            counts.add(tap_line(line));
        }
        assert_eq!(
            counts,
            Counts {
                passed: 5,
                failed: 2
            }
        );
    }

    #[test]
    fn reads_the_counts_of_cargo_and_go() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(
            cargo_line(line),
            Counts {
                passed: 12,
                failed: 3
            }
        );
        assert_eq!(
            cargo_line("test result: \u{1b}[32mok\u{1b}(B\u{1b}[m. 7 passed; 0 failed;"),
            Counts {
                passed: 7,
                failed: 0
            }
        );
        assert_eq!(cargo_line("test a::b ... ok"), Counts::default());
        assert_eq!(
            go_line("--- PASS: TestX (0.00s)"),
            Counts {
                passed: 1,
                failed: 0
            }
        );
        assert_eq!(
            go_line("    --- PASS: TestX/sub (0.00s)"),
            Counts::default()
        );
        assert_eq!(
            go_line("--- FAIL: TestX (0.00s)"),
            Counts {
                passed: 0,
                failed: 1
            }
        );
    }

    #[test]
    fn a_step_that_broke_without_a_failed_test_is_a_failure() {
        let mut counts = Counts::default();
        counts.take(
            Counts {
                passed: 4,
                failed: 0,
            },
            false,
        );
        assert_eq!(
            counts,
            Counts {
                passed: 4,
                failed: 1
            }
        );
    }
}
