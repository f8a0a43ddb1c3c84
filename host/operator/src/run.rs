//! `postern run`: the operator in a cluster.

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use postern_controller::{Options, Readiness, Readings};
use postern_registry::Registry;

use crate::args::Run;
use crate::http::{self, Served};
use crate::metering::Meter;
use crate::{cluster, plugins, signals};

/// Runs the command.
pub async fn run(run: Run) -> anyhow::Result<ExitCode> {
    let files = plugins::files(&run.plugins)?;
    let mut signals = signals::Signals::new()?;
    let readiness = Readiness::default();
    let readings = Readings::default();
    let meter = Meter::new(run.enable_extended_metric_labels, readings.clone());
    // The port first: a probe that is refused tells less than one that says "starting".
    if let Some(address) = run.metrics_bind_address.0 {
        let listener = http::listen(address).await?;
        tokio::spawn(http::serve(
            listener,
            Served {
                meter: meter.clone(),
                readiness: readiness.clone(),
            },
        ));
    }
    let config = cluster::config().await?;
    let mut doors = plugins::settings(&run.plugins, false)?;
    doors.store_interval = run.store_requeue_interval;
    doors.rules.api_server = addresses(&config).await;
    let client = cluster::client(config)?;
    let host = Arc::new(plugins::load(&run.plugins, Some(meter.usage())).await?);
    for revision in host.revisions() {
        tracing::info!(
            plugin = revision.descriptor.name,
            version = revision.descriptor.version,
            "plugin loaded"
        );
    }
    let cache = plugins::cache(&run.plugins);
    let outside = postern_controller::Plugins {
        sources: Arc::new(Registry::new(cache, files)),
        revisions: host.clone(),
        trial: run.plugin_trial,
    };
    let options = Options {
        namespace: run.namespace.clone(),
        controller_class: run.plugins.controller_class.clone(),
        delimiters: run.plugins.delimiters(),
        flood_gate: run.enable_flood_gate,
        secret_stores: run.enable_secret_store_reconciler,
        cluster_stores: run.enable_cluster_store_reconciler,
        cluster_external_secrets: run.enable_cluster_external_secret_reconciler,
        generic_targets: run.unsafe_allow_generic_targets,
        require_store_access: run.plugins.require_store_access,
        doors,
        readiness,
        plugins: Some(outside),
        on_report: Some(meter.reports()),
        readings,
        ..Options::default()
    };
    let mut ended = ExitCode::SUCCESS;
    postern_controller::run(client, host, options, async {
        ended = signals.wait().await;
    })
    .await?;
    Ok(ended)
}

/// Addresses of the API server, which plugins reach only if they ask for it. A name that cannot be resolved now has none.
async fn addresses(config: &kube::Config) -> Vec<IpAddr> {
    let url = &config.cluster_url;
    let host = url
        .host()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let found = tokio::net::lookup_host((host, url.port_u16().unwrap_or(443))).await;
    found
        .into_iter()
        .flatten()
        .map(|address| address.ip())
        .collect()
}
