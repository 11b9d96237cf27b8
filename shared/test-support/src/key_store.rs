//! What every [`domain::ports::KeyStore`] must do.

use std::sync::Arc;

use domain::ports::{KeyRow, KeyStore};
use tokio::task::JoinSet;

/// Runs the suite against the store that `$make` answers with: `async fn() -> (Arc<dyn KeyStore>, impl Sized)`.
#[macro_export]
macro_rules! key_store_contract {
    ($make:path) => {
        $crate::contract_tests!(key_store, $make,
            rows_come_back_as_they_were_put_ascending_by_key
            a_write_on_another_version_changes_nothing
            pools_are_apart
            of_concurrent_writes_on_one_version_one_counts
        );
    };
}

const POOL: &str = "openai/model";

fn a_row(key: &str, version: u64, state: &str) -> KeyRow {
    KeyRow {
        key: key.to_owned(),
        version,
        state: state.to_owned(),
    }
}

/// Each write makes the next version.
pub async fn rows_come_back_as_they_were_put_ascending_by_key(store: Arc<dyn KeyStore>) {
    assert_eq!(store.key_rows(POOL).await.unwrap(), []);
    for (key, state) in [("b", "{\"rpm\":60}"), ("a", "ä#1"), ("c", "")] {
        let row = a_row(key, 0, state);
        assert!(store.put_key_row(POOL, &row).await.unwrap());
    }
    let again = a_row("a", 1, "second");
    assert!(store.put_key_row(POOL, &again).await.unwrap());
    let rows = store.key_rows(POOL).await.unwrap();
    let expected = [
        a_row("a", 2, "second"),
        a_row("b", 1, "{\"rpm\":60}"),
        a_row("c", 1, ""),
    ];
    assert_eq!(rows, expected);
}

/// Older, newer, and none at all.
pub async fn a_write_on_another_version_changes_nothing(store: Arc<dyn KeyStore>) {
    let never_stored = a_row("a", 1, "x");
    assert!(!store.put_key_row(POOL, &never_stored).await.unwrap());
    assert_eq!(store.key_rows(POOL).await.unwrap(), []);
    assert!(store.put_key_row(POOL, &a_row("a", 0, "1")).await.unwrap());
    assert!(store.put_key_row(POOL, &a_row("a", 1, "2")).await.unwrap());
    for version in [0, 1, 3] {
        let row = a_row("a", version, "wrong");
        assert!(!store.put_key_row(POOL, &row).await.unwrap(), "{version}");
    }
    assert_eq!(store.key_rows(POOL).await.unwrap(), [a_row("a", 2, "2")]);
}

/// The same key in two pools is two rows.
pub async fn pools_are_apart(store: Arc<dyn KeyStore>) {
    assert!(store.put_key_row("p", &a_row("a", 0, "1")).await.unwrap());
    assert!(store.put_key_row("p#a", &a_row("a", 0, "2")).await.unwrap());
    assert_eq!(store.key_rows("p").await.unwrap(), [a_row("a", 1, "1")]);
    assert_eq!(store.key_rows("p#a").await.unwrap(), [a_row("a", 1, "2")]);
}

/// What permits rest on: nobody's write is lost without being told.
pub async fn of_concurrent_writes_on_one_version_one_counts(store: Arc<dyn KeyStore>) {
    for version in 0..3 {
        let mut tasks = JoinSet::new();
        for writer in 0..8 {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let row = a_row("a", version, &writer.to_string());
                store
                    .put_key_row(POOL, &row)
                    .await
                    .unwrap()
                    .then_some(row.state)
            });
        }
        let mut winners: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "version {version}: {winners:?}");
        let state = winners.remove(0);
        let expected = a_row("a", version + 1, &state);
        assert_eq!(store.key_rows(POOL).await.unwrap(), [expected]);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_function_of_the_suite_is_run() {
        let source = include_str!("key_store.rs");
        assert_eq!(crate::functions_in(source), crate::names_listed_in(source));
    }
}
