//! The component side: the same glue between bindings and plain types for each combination
//! of optional interfaces. Only conversions, no decisions. Compiled for wasm32 alone.

/// Conversions and doors over the bindings of the module it stands in.
macro_rules! glue {
    // What all worlds have; `$plugin` is the trait that describes.
    (common $plugin:path) => {
        use self::world::exports::postern::plugin as exported;
        use self::world::postern::plugin as imported;
        use crate::types as t;
        use core::marker::PhantomData;

        /// Makes an implementation of the SDK's trait what the bindings want.
        pub struct Adapter<P>(PhantomData<P>);

        struct Component;

        fn failure_out(f: crate::Failure) -> imported::types::Failure {
            imported::types::Failure {
                code: f.code,
                message: f.message,
                retry_after_ms: f.retry_after_ms,
                detail: f.detail,
            }
        }

        impl crate::Entropy for Component {
            fn now_ns(&self) -> u64 {
                imported::entropy::now_ns()
            }

            fn random_u64(&self) -> u64 {
                imported::entropy::random_u64()
            }
        }

        impl<P: $plugin> exported::describe::Guest for Adapter<P> {
            fn describe() -> exported::describe::Descriptor {
                let d = P::describe();
                let ask = |a: t::Ask| exported::describe::Ask {
                    kind: a.kind,
                    what: a.what,
                    why: a.why,
                    options: a.options,
                };
                exported::describe::Descriptor {
                    name: d.name,
                    version: d.version,
                    serves: d.serves,
                    config_schema: d.config_schema,
                    asks: d.asks.into_iter().map(ask).collect(),
                    batch_size: d.batch_size,
                    summary: d.summary,
                    options: d.options,
                }
            }
        }
    };
    (provider) => {
        glue!(common crate::Provider);

        fn failure_in(f: imported::types::Failure) -> crate::Failure {
            crate::Failure {
                code: f.code,
                message: f.message,
                retry_after_ms: f.retry_after_ms,
                detail: f.detail,
            }
        }

        fn credential(c: imported::types::Credential) -> t::Credential {
            t::Credential {
                pointer: c.pointer,
                value: c.value,
                attributes: c.attributes,
            }
        }

        fn context(c: imported::types::Context) -> t::Context {
            t::Context {
                config: c.config,
                credentials: c.credentials.into_iter().map(credential).collect(),
                session: c.session,
                namespace: c.namespace,
                deadline_ms: c.deadline_ms,
                options: c.options,
            }
        }

        fn http_request(r: &crate::HttpRequest) -> imported::http::Request {
            imported::http::Request {
                method: r.method.clone(),
                url: r.url.clone(),
                headers: r.headers.clone(),
                body: r.body.clone(),
                options: r.options.clone(),
            }
        }

        fn http_response(r: imported::http::Response) -> crate::HttpResponse {
            crate::HttpResponse {
                status: r.status,
                headers: r.headers,
                body: r.body,
                options: r.options,
            }
        }

        impl crate::Http for Component {
            fn send(
                &self,
                request: &crate::HttpRequest,
            ) -> Result<crate::HttpResponse, crate::Failure> {
                imported::http::send(&http_request(request))
                    .map(http_response)
                    .map_err(failure_in)
            }

            fn send_all(
                &self,
                requests: &[crate::HttpRequest],
            ) -> Vec<Result<crate::HttpResponse, crate::Failure>> {
                let requests: Vec<_> = requests.iter().map(http_request).collect();
                let answers = imported::http::send_all(&requests);
                answers
                    .into_iter()
                    .map(|a| a.map(http_response).map_err(failure_in))
                    .collect()
            }
        }

        impl crate::Files for Component {
            fn read(&self, root: &str, path: &str) -> Result<Vec<u8>, crate::Failure> {
                imported::files::read(root, path).map_err(failure_in)
            }

            fn list_dir(&self, root: &str, path: &str) -> Result<Vec<String>, crate::Failure> {
                imported::files::list_dir(root, path).map_err(failure_in)
            }
        }

        fn job_out(j: &t::Job) -> imported::templating::Job {
            let template = |x: &t::Template| imported::types::Template {
                name: x.name.clone(),
                source: x.source.clone(),
                options: x.options.clone(),
            };
            let datum = |d: &t::Datum| imported::types::Datum {
                path: d.path.clone(),
                value: d.value.clone(),
            };
            imported::templating::Job {
                templates: j.templates.iter().map(template).collect(),
                data: j.data.iter().map(datum).collect(),
            }
        }

        impl crate::Templating for Component {
            fn render(
                &self,
                jobs: &[t::Job],
                options: &crate::Options,
            ) -> Vec<Vec<Result<Vec<u8>, crate::Failure>>> {
                let jobs: Vec<_> = jobs.iter().map(job_out).collect();
                let of_job = |results: Vec<Result<Vec<u8>, imported::types::Failure>>| {
                    results.into_iter().map(|r| r.map_err(failure_in)).collect()
                };
                let rendered = imported::templating::render(&jobs, options);
                rendered.into_iter().map(of_job).collect()
            }
        }

        impl crate::Log for Component {
            fn log(&self, level: &str, message: &str, fields: &[(String, String)]) {
                imported::log::log(level, message, fields);
            }
        }

        fn material(m: t::Material) -> exported::check::Material {
            match m {
                t::Material::Pointer(p) => exported::check::Material::Pointer(p),
                t::Material::Pem(b) => exported::check::Material::Pem(b),
            }
        }

        fn endpoint(e: t::Endpoint) -> exported::check::Endpoint {
            exported::check::Endpoint {
                origin: e.origin,
                ca: e.ca.map(material),
                client_certificate: e.client_certificate.map(material),
                client_key: e.client_key.map(material),
                server_name: e.server_name,
                options: e.options,
            }
        }

        fn needs(n: t::Needs) -> exported::check::Needs {
            let reference = |r: t::Reference| exported::check::Reference {
                pointer: r.pointer,
                audiences: r.audiences,
                expires_in_s: r.expires_in_s,
                options: r.options,
            };
            exported::check::Needs {
                per_namespace: n.per_namespace,
                references: n.references.into_iter().map(reference).collect(),
                endpoints: n.endpoints.into_iter().map(endpoint).collect(),
                options: n.options,
            }
        }

        impl<P: crate::Provider> exported::check::Guest for Adapter<P> {
            fn examine(
                config: String,
                credentials: Vec<imported::types::Credential>,
                options: Vec<(String, String)>,
            ) -> Result<exported::check::Needs, Vec<exported::check::Problem>> {
                let credentials: Vec<_> = credentials.into_iter().map(credential).collect();
                let problem = |p: t::Problem| exported::check::Problem {
                    pointer: p.pointer,
                    message: p.message,
                    options: p.options,
                };
                P::examine(&config, &credentials, &options)
                    .map(needs)
                    .map_err(|problems| problems.into_iter().map(problem).collect())
            }

            fn probe(c: imported::types::Context) -> Result<(), imported::types::Failure> {
                P::probe(&Component, &context(c)).map_err(failure_out)
            }
        }

        fn read_request(r: exported::read::Request) -> t::Request {
            let pick = |p: exported::read::Pick| t::Pick {
                property: p.property,
                members: p.members,
            };
            t::Request {
                key: r.key,
                version: r.version,
                metadata: r.metadata,
                picks: r.picks.into_iter().map(pick).collect(),
                known: r.known,
                options: r.options,
            }
        }

        fn part(p: t::Part) -> exported::read::Part {
            match p {
                t::Part::Value(v) => exported::read::Part::Value(v),
                t::Part::Members(m) => exported::read::Part::Members(m),
                t::Part::Failed(f) => exported::read::Part::Failed(failure_out(f)),
            }
        }

        fn outcome(o: t::Outcome) -> exported::read::Outcome {
            let answer = match o.answer {
                t::Answer::Parts(parts) => {
                    exported::read::Answer::Parts(parts.into_iter().map(part).collect())
                }
                t::Answer::Unchanged => exported::read::Answer::Unchanged,
                t::Answer::Failed(f) => exported::read::Answer::Failed(failure_out(f)),
            };
            exported::read::Outcome {
                answer,
                tag: o.tag,
                options: o.options,
            }
        }

        impl<P: crate::Provider> exported::read::Guest for Adapter<P> {
            fn get_batch(
                c: imported::types::Context,
                requests: Vec<exported::read::Request>,
            ) -> Vec<exported::read::Outcome> {
                let requests: Vec<_> = requests.into_iter().map(read_request).collect();
                P::get_batch(&Component, &context(c), &requests)
                    .into_iter()
                    .map(outcome)
                    .collect()
            }
        }
    };
    (login) => {
        fn session(s: t::Session) -> exported::login::Session {
            exported::login::Session {
                token: s.token,
                expires_in_ms: s.expires_in_ms,
                options: s.options,
            }
        }

        impl<P: crate::Login> exported::login::Guest for Adapter<P> {
            fn open(
                c: imported::types::Context,
            ) -> Result<exported::login::Session, imported::types::Failure> {
                P::open(&Component, &context(c))
                    .map(session)
                    .map_err(failure_out)
            }

            fn renew(
                c: imported::types::Context,
            ) -> Result<exported::login::Session, imported::types::Failure> {
                P::renew(&Component, &context(c))
                    .map(session)
                    .map_err(failure_out)
            }

            fn close(c: imported::types::Context) -> Result<(), imported::types::Failure> {
                P::close(&Component, &context(c)).map_err(failure_out)
            }
        }
    };
    (find) => {
        fn page(p: t::Page) -> exported::find::Page {
            let found = |f: t::Found| exported::find::Found {
                key: f.key,
                name: f.name,
                version: f.version,
                value: f.value,
                tag: f.tag,
                options: f.options,
            };
            exported::find::Page {
                found: p.found.into_iter().map(found).collect(),
                next: p.next,
                names_applied: p.names_applied,
                options: p.options,
            }
        }

        impl<P: crate::Find> exported::find::Guest for Adapter<P> {
            fn list_page(
                c: imported::types::Context,
                q: exported::find::Query,
                after: Option<String>,
            ) -> Result<exported::find::Page, imported::types::Failure> {
                let query = t::Query {
                    path: q.path,
                    tags: q.tags,
                    name: q.name,
                    options: q.options,
                };
                P::list_page(&Component, &context(c), &query, after.as_deref())
                    .map(page)
                    .map_err(failure_out)
            }
        }
    };
    (engine) => {
        glue!(common crate::Engine);

        fn template(x: imported::types::Template) -> t::Template {
            t::Template {
                name: x.name,
                source: x.source,
                options: x.options,
            }
        }

        fn job(j: exported::render::Job) -> t::Job {
            let datum = |d: imported::types::Datum| t::Datum {
                path: d.path,
                value: d.value,
            };
            t::Job {
                templates: j.templates.into_iter().map(template).collect(),
                data: j.data.into_iter().map(datum).collect(),
            }
        }

        impl<P: crate::Engine> exported::render::Guest for Adapter<P> {
            fn render(
                jobs: Vec<exported::render::Job>,
                options: crate::Options,
            ) -> Vec<Vec<Result<Vec<u8>, imported::types::Failure>>> {
                let jobs: Vec<_> = jobs.into_iter().map(job).collect();
                let of_job = |results: Vec<Result<Vec<u8>, crate::Failure>>| {
                    let results = results.into_iter();
                    results.map(|r| r.map_err(failure_out)).collect()
                };
                let rendered = P::render(&Component, &jobs, &options);
                rendered.into_iter().map(of_job).collect()
            }

            fn check(
                templates: Vec<imported::types::Template>,
                options: crate::Options,
            ) -> Vec<exported::render::Problem> {
                let templates: Vec<_> = templates.into_iter().map(template).collect();
                let problem = |p: t::TemplateProblem| exported::render::Problem {
                    name: p.name,
                    line: p.line,
                    column: p.column,
                    message: p.message,
                    options: p.options,
                };
                let problems = P::check(&templates, &options);
                problems.into_iter().map(problem).collect()
            }
        }
    };
}

/// A provider without optional interfaces.
pub mod base {
    pub use postern_world_base as world;
    glue!(provider);
}

/// A provider with `login`.
pub mod with_login {
    pub use postern_world_login as world;
    glue!(provider);
    glue!(login);
}

/// A provider with `find`.
pub mod with_find {
    pub use postern_world_find as world;
    glue!(provider);
    glue!(find);
}

/// A provider with `login` and `find`.
pub mod with_login_find {
    pub use postern_world_login_find as world;
    glue!(provider);
    glue!(login);
    glue!(find);
}

/// A template engine.
pub mod engine {
    pub use postern_world_engine as world;
    glue!(engine);
}
