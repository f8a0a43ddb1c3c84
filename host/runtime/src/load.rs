//! From bytes to a plugin that can be called: size, form, compiled code, world, imports, description.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use postern_core::failure::{Code, Failure, Stage};
use postern_core::grant::Permits;
use postern_core::plugin::{Digest, Revision};
use postern_core::rollout::Overrides;
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use crate::bindings::v0_1::{engine, find, from_guest, login, names, provider};
use crate::call::Caller;
use crate::check;
use crate::fault::{Callee, Cleaner};
use crate::limits::{self, Limits};
use crate::state::CallState;

/// A plugin that can be called.
pub struct Plugin {
    pub revision: Arc<Revision>,
    /// `name version`, for messages.
    pub name: Arc<str>,
    pub kind: Kind,
    /// What one of its calls may use.
    pub limits: Limits,
    /// How they differ from the usual.
    pub overrides: Overrides,
    /// Reads and renders that went well.
    pub successes: AtomicU64,
}

/// What its world is.
pub enum Kind {
    Provider(Box<Provider>),
    Engine(Box<engine::TemplateEnginePre<CallState>>),
}

/// A provider with what it has of the optional interfaces.
pub struct Provider {
    pub pre: provider::ProviderPre<CallState>,
    pub login: Option<login::HasLoginPre<CallState>>,
    pub find: Option<find::HasFindPre<CallState>>,
}

/// Links components; one for the process.
pub struct Loader {
    provider: Linker<CallState>,
    engine: Linker<CallState>,
}

/// What we know of a component before it has described itself.
pub struct Found<'a> {
    pub digest: Digest,
    pub bundled: bool,
    /// The file's name or the like, for messages.
    pub label: &'a str,
    pub component: Component,
}

impl Loader {
    pub fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let mut provider = Linker::new(engine);
        provider::Provider::add_to_linker::<_, HasSelf<_>>(&mut provider, |state| state)?;
        let mut template = Linker::new(engine);
        engine::TemplateEngine::add_to_linker::<_, HasSelf<_>>(&mut template, |state| state)?;
        Ok(Self {
            provider,
            engine: template,
        })
    }

    /// Links a compiled component, checks its world and imports, and asks it to describe itself.
    pub async fn load(
        &self,
        caller: &Caller,
        engine: &Engine,
        candidate: Found<'_>,
        limits: impl FnOnce(bool) -> Limits,
    ) -> Result<Plugin, Failure> {
        let label = candidate.label;
        let exports = exported(&candidate.component, engine);
        let is_engine = exports.iter().any(|e| e == names::RENDER);
        let allowed: &[&str] = if is_engine {
            &names::ENGINE_IMPORTS
        } else {
            &names::PROVIDER_IMPORTS
        };
        refuse_imports(&candidate.component, engine, allowed, is_engine, label)?;
        let linker = if is_engine {
            &self.engine
        } else {
            &self.provider
        };
        let pre = linker
            .instantiate_pre(&candidate.component)
            .map_err(|e| misfit(label, &e))?;
        let kind = kind(pre, &exports, is_engine, label)?;
        let limits = limits(is_engine);
        let descriptor = describe(caller, &kind, label, limits.clone()).await?;
        let name: Arc<str> = format!("{} {}", descriptor.name, descriptor.version).into();
        let (has_login, has_find) = match &kind {
            Kind::Provider(p) => (p.login.is_some(), p.find.is_some()),
            Kind::Engine(_) => (false, false),
        };
        let revision = Revision {
            digest: candidate.digest,
            descriptor,
            has_login,
            has_find,
            is_engine,
            bundled: candidate.bundled,
            permits: Permits::All,
            fallback: None,
        };
        Ok(Plugin {
            revision: Arc::new(revision),
            name,
            kind,
            limits,
            overrides: Overrides::default(),
            successes: AtomicU64::new(0),
        })
    }
}

fn invalid(label: &str, what: impl std::fmt::Display) -> Failure {
    Failure::new(
        Stage::Check,
        Code::PluginInvalid,
        format!("the plugin {label} cannot be loaded: {what}"),
    )
}

/// What can be said of the bytes before any work is done on them.
pub fn check_form(bytes: &[u8], label: &str) -> Result<(), Failure> {
    if bytes.len() > limits::COMPONENT_BYTES {
        return Err(invalid(
            label,
            format_args!("it is larger than {} MiB", limits::COMPONENT_BYTES >> 20),
        ));
    }
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Err(invalid(
            label,
            "it is a core module, not a component; make a component of it (wasm-tools component new)",
        )),
        _ => Err(invalid(label, "it is not a WebAssembly component")),
    }
}

/// Why it could not be compiled.
pub fn uncompiled(label: &str, why: &str) -> Failure {
    let why = postern_core::failure::one_line(why, 300);
    invalid(
        label,
        format_args!("it does not compile ({why}); the file may be cut off or damaged"),
    )
}

fn exported(component: &Component, engine: &Engine) -> Vec<String> {
    component
        .component_type()
        .exports(engine)
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn refuse_imports(
    component: &Component,
    engine: &Engine,
    allowed: &[&str],
    is_engine: bool,
    label: &str,
) -> Result<(), Failure> {
    let ty = component.component_type();
    let Some((foreign, _)) = ty.imports(engine).find(|(name, _)| !allowed.contains(name)) else {
        return Ok(());
    };
    let foreign = postern_core::failure::one_line(foreign, 100);
    let may = if is_engine {
        "a template engine may import only entropy"
    } else {
        "a provider may import only the interfaces of postern:plugin"
    };
    Err(invalid(
        label,
        format_args!("it imports {foreign}, and {may}"),
    ))
}

fn misfit(label: &str, error: &wasmtime::Error) -> Failure {
    let why = postern_core::failure::one_line(&format!("{error:#}"), 300);
    invalid(
        label,
        format_args!("it was made for another version of the contract postern:plugin ({why})"),
    )
}

fn kind(
    pre: InstancePre<CallState>,
    exports: &[String],
    is_engine: bool,
    label: &str,
) -> Result<Kind, Failure> {
    let has = |name: &str| exports.iter().any(|e| e == name);
    let fits = |e: wasmtime::Error| misfit(label, &e);
    if is_engine {
        return Ok(Kind::Engine(Box::new(
            engine::TemplateEnginePre::new(pre).map_err(fits)?,
        )));
    }
    if !has(names::READ) || !has(names::DESCRIBE) {
        let what = "it exports neither the world provider nor the world template-engine of postern:plugin@0.1.0";
        return Err(invalid(label, what));
    }
    let login = if has(names::LOGIN) {
        Some(login::HasLoginPre::new(pre.clone()).map_err(fits)?)
    } else {
        None
    };
    let find = if has(names::FIND) {
        Some(find::HasFindPre::new(pre.clone()).map_err(fits)?)
    } else {
        None
    };
    let pre = provider::ProviderPre::new(pre).map_err(fits)?;
    Ok(Kind::Provider(Box::new(Provider { pre, login, find })))
}

async fn describe(
    caller: &Caller,
    kind: &Kind,
    label: &str,
    limits: Limits,
) -> Result<postern_core::plugin::Descriptor, Failure> {
    let callee = Callee {
        plugin: label.into(),
        function: "describe",
        stage: Stage::Check,
    };
    let state = CallState::new(
        callee.clone(),
        limits,
        Cleaner::default(),
        limits::PURE_CALL,
    );
    let (ours, schema) = match kind {
        Kind::Provider(provider) => {
            let work = async |store: &mut wasmtime::Store<CallState>| {
                let instance = provider.pre.instantiate_async(&mut *store).await?;
                instance
                    .postern_plugin_describe()
                    .call_describe(&mut *store)
                    .await
            };
            from_guest::descriptor(caller.run(state, work).await?.0)
        }
        Kind::Engine(pre) => {
            let work = async |store: &mut wasmtime::Store<CallState>| {
                let instance = pre.instantiate_async(&mut *store).await?;
                instance
                    .postern_plugin_describe()
                    .call_describe(&mut *store)
                    .await
            };
            from_guest::engine_descriptor(caller.run(state, work).await?.0)
        }
    };
    check::descriptor(&callee, ours, &schema)
}
