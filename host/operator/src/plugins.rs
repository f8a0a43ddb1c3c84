//! Loads the plugins that a command works with, and says what they may do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use postern_core::egress::AddressRules;
use postern_runtime::{OnUsage, Runtime};
use postern_sync::Settings;

use crate::args::Plugins;
use crate::environment::Process;

/// Starts the runtime with the bundled plugins and those that were given, and with somebody who is told what calls use.
pub async fn load(plugins: &Plugins, on_usage: Option<OnUsage>) -> anyhow::Result<Runtime> {
    let mut builder = Runtime::builder();
    if let Some(told) = on_usage {
        builder = builder.on_usage(told);
    }
    if let Some(cache) = cache(plugins) {
        builder = builder.cache_dir(cache);
    }
    let runtime = builder.build()?;
    match bundled(plugins.plugins_dir.as_deref())? {
        Some(dir) => {
            runtime
                .load_bundled(&dir)
                .await
                .with_context(|| format!("loading the bundled plugins of {}", dir.display()))?;
        }
        None if plugins.plugin.is_empty() => {
            bail!(
                "there are no plugins beside the binary; give --plugins-dir or --plugin, or run `postern bundle`"
            )
        }
        None => {}
    }
    for file in &plugins.plugin {
        runtime
            .load_file(file)
            .await
            .with_context(|| format!("loading the plugin {}", file.display()))?;
    }
    Ok(runtime)
}

/// The directory whose files Plugins may name. One that is not there would be told only by each Plugin that needs it.
pub fn files(plugins: &Plugins) -> anyhow::Result<Option<PathBuf>> {
    let Some(dir) = &plugins.plugin_files else {
        return Ok(None);
    };
    match std::fs::metadata(dir) {
        Ok(found) if found.is_dir() => Ok(Some(absolute(dir))),
        Ok(_) => bail!(
            "--plugin-files {} is a file; give the directory that holds the components",
            dir.display()
        ),
        Err(error) => Err(error).with_context(|| {
            format!(
                "--plugin-files {} cannot be used; make the directory, or correct the path",
                dir.display()
            )
        }),
    }
}

/// The folder of the bundled plugins: the one that was given, or the one beside the binary, if it is there.
pub fn bundled(given: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    if let Some(dir) = given {
        if !dir.is_dir() {
            bail!("--plugins-dir {} is no folder", dir.display());
        }
        return Ok(Some(dir.to_owned()));
    }
    let program = std::env::current_exe().context("finding the binary")?;
    Ok(program
        .parent()
        .map(|dir| dir.join("plugins"))
        .filter(|dir| dir.is_dir()))
}

/// Where components and their compiled code are kept.
pub fn cache(plugins: &Plugins) -> Option<PathBuf> {
    plugins.cache_dir.clone().or_else(default_cache)
}

/// Where compiled code is kept unless somebody says otherwise.
pub fn default_cache() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let home = || set("HOME").map(|home| home.join(".cache"));
    set("XDG_CACHE_HOME")
        .or_else(home)
        .map(|dir| dir.join("postern").join("compiled"))
}

/// What plugins may do. Loopback is open without a cluster: whoever starts a sync may talk to this machine anyway.
pub fn settings(plugins: &Plugins, loopback: bool) -> anyhow::Result<Settings> {
    let mut settings = Settings {
        rules: AddressRules {
            loopback,
            ambient_identity: plugins.ambient_identity,
            allow: plugins.allow_egress.clone(),
            deny: plugins.deny_egress.clone(),
            api_server: Vec::new(),
        },
        environment: Some(Arc::new(Process)),
        ..Settings::default()
    };
    for (name, dir) in &plugins.grant_files {
        if !dir.is_dir() {
            bail!("--grant-files {name}={}: it is no folder", dir.display());
        }
        if settings
            .directories
            .insert(name.clone(), absolute(dir))
            .is_some()
        {
            bail!("--grant-files names \"{name}\" twice; give each directory a name of its own");
        }
    }
    Ok(settings)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
