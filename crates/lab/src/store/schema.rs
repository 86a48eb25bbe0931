//! The tables, and how an older store becomes a newer one.
//!
//! A trial and an attempt have a number of the store's own, which its rows of metrics carry in place of their names: a
//! row is then a few dozen bytes. The view `lines` shows them by name.

use super::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// Marks a database as ours: `bwst`.
pub(super) const APPLICATION: i64 = 0x6277_7374;

/// What was done to an empty database, one entry for each version. A released entry never changes; what is new comes
/// after it.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql")];

/// Brings a database to the newest version of `migrations`, all steps or none.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let wrong = |source| StoreError::sqlite(path, source);
    let known = migrations.len() as i64;
    if found(connection, path)? == known {
        return Ok(());
    }
    // Two programs may be here at once; the second finds the work done.
    let migration = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
    let found = found(&migration, path)?;
    if known < found {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    for (step, version) in migrations.iter().zip(1..).skip(found as usize) {
        migration.execute_batch(step).map_err(wrong)?;
        migration.pragma_update(None, "user_version", version).map_err(wrong)?;
    }
    migration.pragma_update(None, "application_id", APPLICATION).map_err(wrong)?;
    migration.commit().map_err(wrong)
}

/// The version of a database: 0 where it is empty.
fn found(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let wrong = |source| StoreError::sqlite(path, source);
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(wrong);
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let n_tables = number("SELECT count(*) FROM sqlite_master")?;
    let is_new = (application, version, n_tables) == (0, 0, 0);
    if is_new || application == APPLICATION && 0 < version {
        return Ok(version);
    }
    let reason = "a database of another program".to_owned();
    Err(StoreError::Damaged { path: path.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1);";
    const TWO: &str = "ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 7;";

    fn numbers(connection: &Connection, sql: &str) -> Vec<i64> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn an_older_database_is_brought_up_and_keeps_its_rows() {
        let mut connection = Connection::open_in_memory().unwrap();
        let path = Path::new("store.sqlite");
        migrate(&mut connection, path, &[ONE]).unwrap();
        assert_eq!(numbers(&connection, "PRAGMA user_version"), [1]);
        for _ in 0..2 {
            migrate(&mut connection, path, &[ONE, TWO]).unwrap();
            assert_eq!(numbers(&connection, "PRAGMA user_version"), [2]);
            assert_eq!(numbers(&connection, "SELECT x + y FROM a"), [8]);
        }
        let newer = migrate(&mut connection, path, &[ONE]).unwrap_err();
        assert!(matches!(newer, StoreError::Newer { found: 2, known: 1, .. }), "{newer}");
    }

    #[test]
    fn a_step_that_fails_leaves_the_old_version() {
        let mut connection = Connection::open_in_memory().unwrap();
        let path = Path::new("store.sqlite");
        migrate(&mut connection, path, &[ONE]).unwrap();
        migrate(&mut connection, path, &[ONE, TWO, "CREATE nonsense"]).unwrap_err();
        assert_eq!(numbers(&connection, "PRAGMA user_version"), [1]);
        assert_eq!(numbers(&connection, "SELECT count(*) FROM pragma_table_info('a')"), [1]);
    }

    #[test]
    fn the_database_of_another_program_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
        let error = migrate(&mut connection, Path::new("x/store.sqlite"), MIGRATIONS).unwrap_err();
        assert!(error.to_string().contains("x/store.sqlite is no store"), "{error}");
        assert_eq!(numbers(&connection, "SELECT count(*) FROM sqlite_master"), [1]);
    }
}
