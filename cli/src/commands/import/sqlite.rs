//! The SQLite database of ModelMesh Lite.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use siltstone::{Metadata, Store, put_options};

use crate::commands::import::intake::Intake;
use crate::exit::{Failure, Result};

pub(super) fn take<F>(path: &Path, table: &str, intake: &mut Intake<F>) -> Result<()>
where
    F: FnOnce() -> Result<Store>,
{
    let failed = |problem: &dyn std::fmt::Display| {
        Failure::new(format!("table '{table}' of '{}' cannot be imported: {problem}", path.display()))
    };
    let sql = |error: rusqlite::Error| failed(&error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(sql)?;
    let quoted = table.replace('"', "\"\"");
    let query = format!("SELECT key, data, metadata FROM \"{quoted}\" ORDER BY key");
    let mut statement = database.prepare(&query).map_err(sql)?;
    let mut rows = statement.query([]).map_err(sql)?;
    while let Some(row) = rows.next().map_err(sql)? {
        put(row, intake).map_err(|problem| failed(&problem))?;
    }
    Ok(())
}

/// One row; what is wrong with it.
fn put<F>(row: &Row<'_>, intake: &mut Intake<F>) -> Result<(), String>
where
    F: FnOnce() -> Result<Store>,
{
    let key = row.get_ref(0).map_err(|error| error.to_string())?;
    let key = key.as_str().map_err(|_| "a key is no text".to_owned())?;
    let data = match row.get_ref(1).map_err(|error| error.to_string())? {
        ValueRef::Blob(data) | ValueRef::Text(data) => data,
        _ => return Err(format!("the data of key '{key}' is neither bytes nor text")),
    };
    let metadata = row.get_ref(2).map_err(|error| error.to_string())?;
    let metadata = metadata.as_bytes().map_err(|_| format!("the metadata of key '{key}' is no text"))?;
    // The library writes metadata that it was not given as null.
    let metadata: Option<Metadata> = serde_json::from_slice(metadata)
        .map_err(|error| format!("the metadata of key '{key}' is no JSON object: {error}"))?;
    let options = put_options(key, &metadata.unwrap_or_default(), intake.format);
    let options = options.map_err(|error| error.to_string())?;
    intake.put(key.as_bytes(), data, &options).map_err(|failure| failure.to_string())
}
