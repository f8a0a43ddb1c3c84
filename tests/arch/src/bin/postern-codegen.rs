//! Writes the generated files; `cargo xtask codegen`.

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let root = postern_arch_tests::root();
    for (name, text) in postern_arch_tests::generated::files()? {
        let path = root.join(&name);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("making {}", folder.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("writing {name}"))?;
        eprintln!("wrote {name}");
    }
    Ok(())
}
