//! Writes the generated files: `cargo xtask codegen`.

use postern_arch_tests::{generated, root};

fn main() -> anyhow::Result<()> {
    for file in generated()? {
        let path = root().join(&file.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&file.content) {
            std::fs::write(&path, &file.content)?;
            eprintln!("wrote {}", file.path);
        }
    }
    Ok(())
}
