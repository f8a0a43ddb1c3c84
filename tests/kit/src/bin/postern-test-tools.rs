//! Builds the servers that the tests run against, once per version, and prints where they are.

fn main() -> anyhow::Result<()> {
    let tools = postern_test_kit::tools::ensure()?;
    let registry = postern_test_kit::tools::registry()?;
    let helm = postern_test_kit::tools::helm()?;
    for path in [
        tools.etcd(),
        tools.kube_apiserver(),
        tools.kubectl(),
        registry,
        helm,
    ] {
        println!("{}", path.display());
    }
    Ok(())
}
