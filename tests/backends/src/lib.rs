//! Providers as components against real or recorded servers. The tests are in `tests/`; nothing is here.
