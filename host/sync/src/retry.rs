//! Reads that are tried again within one sync, as often as the store's `retrySettings` say.

use std::time::Duration;

use postern_core::failure::{Code, Failure};
use postern_core::plugin::{Answer, Outcome, Request};
use postern_core::store::Retries;
use tokio::time::Instant;

/// Reads by `read`, and asks again for what failed for a reason that may pass; no longer than somebody waits for it.
pub(crate) async fn patiently<F>(
    retries: Retries,
    patience: Duration,
    requests: &[Request],
    read: impl Fn(Vec<Request>) -> F,
) -> Result<Vec<Outcome>, Failure>
where
    F: Future<Output = Result<Vec<Outcome>, Failure>>,
{
    let last = Instant::now() + patience;
    let mut result = read(requests.to_vec()).await;
    for _ in 0..retries.times {
        let again = may_pass(&result, requests.len());
        if again.is_empty() || Instant::now() + retries.wait >= last {
            break;
        }
        tokio::time::sleep(retries.wait).await;
        let repeated: Vec<Request> = again.iter().map(|at| requests[*at].clone()).collect();
        let answers = read(repeated).await;
        result = put_in(result, &again, answers);
    }
    result
}

/// Which of the requests failed for a reason that may pass.
fn may_pass(result: &Result<Vec<Outcome>, Failure>, n: usize) -> Vec<usize> {
    let passes = |failure: &Failure| {
        matches!(
            failure.code,
            Code::Unavailable | Code::Timeout | Code::RateLimited
        )
    };
    match result {
        Err(failure) if passes(failure) => (0..n).collect(),
        Err(_) => Vec::new(),
        Ok(outcomes) => (0..outcomes.len().min(n))
            .filter(
                |at| matches!(&outcomes[*at].answer, Answer::Failed(failure) if passes(failure)),
            )
            .collect(),
    }
}

/// Puts the later answers in the place of the earlier ones.
fn put_in(
    result: Result<Vec<Outcome>, Failure>,
    at: &[usize],
    answers: Result<Vec<Outcome>, Failure>,
) -> Result<Vec<Outcome>, Failure> {
    match (result, answers) {
        // Nothing was answered before, so nothing is lost.
        (Err(_), answers) => answers,
        (Ok(outcomes), Err(_)) => Ok(outcomes),
        (Ok(mut outcomes), Ok(answers)) => {
            for (at, answer) in at.iter().zip(answers) {
                outcomes[*at] = answer;
            }
            Ok(outcomes)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use postern_core::failure::Stage;

    use super::*;

    fn request(key: &str) -> Request {
        Request {
            key: key.to_owned(),
            version: None,
            metadata: false,
            picks: Vec::new(),
            known: None,
        }
    }

    fn outcome(code: Option<Code>) -> Outcome {
        let answer = match code {
            None => Answer::Unchanged,
            Some(code) => Answer::Failed(Failure::new(Stage::Fetch, code, "why")),
        };
        Outcome { answer, tag: None }
    }

    /// Reads two keys with these answers, one after another, and gives what came of it and which keys were asked for.
    async fn read(
        times: u32,
        wait: u64,
        answers: Vec<Result<Vec<Outcome>, Failure>>,
    ) -> (Result<Vec<Outcome>, Failure>, Vec<String>) {
        let answers = Mutex::new(answers.into_iter());
        let asked = Mutex::new(Vec::new());
        let retries = Retries {
            times,
            wait: Duration::from_secs(wait),
        };
        let requests = [request("a"), request("b")];
        let patience = Duration::from_secs(60);
        let result = patiently(retries, patience, &requests, |requests| {
            let keys: String = requests.iter().map(|r| r.key.as_str()).collect();
            asked.lock().unwrap().push(keys);
            std::future::ready(answers.lock().unwrap().next().unwrap())
        })
        .await;
        (result, asked.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_pass_is_asked_for_again() {
        let first = vec![
            outcome(Some(Code::Denied)),
            outcome(Some(Code::Unavailable)),
        ];
        let (result, asked) = read(3, 1, vec![Ok(first), Ok(vec![outcome(None)])]).await;
        let wanted = vec![outcome(Some(Code::Denied)), outcome(None)];
        assert_eq!((result, asked), (Ok(wanted), vec!["ab".into(), "b".into()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_whole_call_is_made_again_as_often_as_the_store_says_and_not_beyond_patience() {
        let failed = || Err(Failure::new(Stage::Fetch, Code::Timeout, "slow"));
        let all = || vec![failed(), failed(), failed()];
        assert_eq!(read(2, 1, all()).await.1.len(), 3);
        assert_eq!(read(2, 40, all()).await.1.len(), 2);
        assert_eq!(read(0, 1, all()).await.1.len(), 1);
    }
}
