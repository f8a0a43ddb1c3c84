//! The macro that turns an implementation into a component. Natively it expands to nothing, so the
//! plugin's library is tested without bindings.

/// Exports a provider: `export_provider!(Vault)`, with the optional interfaces it has after a colon:
/// `export_provider!(Vault: login)`, `: find`, `: login, find`. An interface that is not named is absent
/// from the component, which is how the host knows.
#[macro_export]
macro_rules! export_provider {
    ($ty:ty) => { $crate::export_provider!(@ base, $ty); };
    ($ty:ty : login) => { $crate::export_provider!(@ with_login, $ty); };
    ($ty:ty : find) => { $crate::export_provider!(@ with_find, $ty); };
    ($ty:ty : login, find) => { $crate::export_provider!(@ with_login_find, $ty); };
    (@ $world:ident, $ty:ty) => {
        #[cfg(target_arch = "wasm32")]
        mod postern_component {
            #[allow(unused_imports, reason = "the type may be named by a path")]
            use super::*;
            type Exported = $crate::bindings::$world::Adapter<$ty>;
            $crate::bindings::$world::world::export!(Exported with_types_in $crate::bindings::$world::world);
        }
    };
}

/// Exports a template engine: `export_engine!(Jinja)`.
#[macro_export]
macro_rules! export_engine {
    ($ty:ty) => {
        $crate::export_provider!(@ engine, $ty);
    };
}
