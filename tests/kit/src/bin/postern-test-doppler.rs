//! A server that answers like Doppler, for shells and for tests in other languages: prints where it listens, then serves
//! until it is ended. Arguments `NAME=VALUE` are secrets of the config `dev` of project `demo`, which the token
//! `dp.st.dev.0123456789` reads; `postern_test_kit::doppler` tells how to steer it.

use anyhow::Context as _;
use postern_test_kit::doppler::Doppler;

fn main() -> anyhow::Result<()> {
    let server = Doppler::start()?;
    for argument in std::env::args().skip(1) {
        let (name, value) = argument
            .split_once('=')
            .with_context(|| format!("{argument}: not of the form NAME=VALUE"))?;
        server.set(Doppler::PROJECT, Doppler::CONFIG, name, value);
    }
    println!("{}", server.url());
    loop {
        std::thread::park();
    }
}
