//! A host that serves every key with one revision: to try a candidate on stores, and to ask the last good revision what one
//! on trial cannot answer. Everything else is the host's.

use std::sync::Arc;

use postern_core::failure::Failure;
use postern_core::plugin::{
    Answering, Call, Credential, Digest, Needs, Options, Outcome, Page, PluginHost, Problem, Query,
    RenderJob, Rendered, Request, Revision, Session,
};

pub(crate) struct Pinned {
    pub(crate) host: Arc<dyn PluginHost>,
    pub(crate) revision: Arc<Revision>,
}

impl PluginHost for Pinned {
    fn provider(&self, _: &str) -> Result<Arc<Revision>, Failure> {
        Ok(self.revision.clone())
    }

    fn engine(&self, _: &str) -> Result<Arc<Revision>, Failure> {
        Ok(self.revision.clone())
    }

    fn examine<'a>(
        &'a self,
        plugin: &'a Digest,
        config: &'a str,
        credentials: &'a [Credential],
        options: &'a Options,
    ) -> Answering<'a, Result<Needs, Vec<Problem>>> {
        self.host.examine(plugin, config, credentials, options)
    }

    fn probe<'a>(&'a self, call: &'a Call) -> Answering<'a, ()> {
        self.host.probe(call)
    }

    fn login<'a>(&'a self, call: &'a Call) -> Answering<'a, Session> {
        self.host.login(call)
    }

    fn renew<'a>(&'a self, call: &'a Call) -> Answering<'a, Session> {
        self.host.renew(call)
    }

    fn close<'a>(&'a self, call: &'a Call) -> Answering<'a, ()> {
        self.host.close(call)
    }

    fn read<'a>(&'a self, call: &'a Call, requests: &'a [Request]) -> Answering<'a, Vec<Outcome>> {
        self.host.read(call, requests)
    }

    fn find<'a>(
        &'a self,
        call: &'a Call,
        query: &'a Query,
        after: Option<&'a str>,
    ) -> Answering<'a, Page> {
        self.host.find(call, query, after)
    }

    fn render<'a>(
        &'a self,
        engine: &'a Digest,
        jobs: &'a [RenderJob],
        options: &'a Options,
    ) -> Answering<'a, Vec<Rendered>> {
        self.host.render(engine, jobs, options)
    }
}
