//! The marker that tests write over: it says which version a component is and what it does.

/// `version=…;do=…;` and dots up to the end. Tests look for it in the component and put another in its place.
static MARKER: [u8; 64] = *b"postern-versioned:version=0;do=serve;...........................";

/// A field of the marker.
pub fn marked(field: &str) -> String {
    // Opaque to the compiler, which would otherwise read the marker while it compiles.
    let marker = std::hint::black_box(&MARKER);
    let text = String::from_utf8_lossy(&marker[..]).into_owned();
    let start = format!("{field}=");
    let found = text
        .trim_start_matches("postern-versioned:")
        .split(';')
        .find_map(|part| part.strip_prefix(&start).map(str::to_owned));
    found.unwrap_or_default()
}

/// Never ends.
pub fn hang() -> ! {
    loop {
        std::hint::black_box(());
    }
}

/// Takes memory until there is none.
pub fn eat() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&eaten);
    }
}
