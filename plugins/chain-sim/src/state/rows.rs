//! Stores that are saved as a list of their records and rebuild their indexes when they are loaded.

use serde::de::DeserializeOwned;
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A store of records that carry their own key.
pub(crate) trait Rows: Default {
    /// One record.
    type Row: Serialize + DeserializeOwned;

    /// All records, in the store's order.
    fn rows(&self) -> impl Iterator<Item = &Self::Row>;

    /// Adds a record and its index entries.
    fn insert_row(&mut self, row: Self::Row);
}

pub(super) fn serialize<T: Rows, S: Serializer>(store: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    for row in store.rows() {
        list.serialize_element(row)?;
    }
    list.end()
}

pub(super) fn deserialize<'de, T: Rows, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let mut store = T::default();
    for row in Vec::<T::Row>::deserialize(deserializer)? {
        store.insert_row(row);
    }
    Ok(store)
}
