//! Pagination as the SDK does it (chain 9).

use super::QueryError;
use serde::{Deserialize, Serialize};

/// The page size where none is asked for.
pub const DEFAULT_PAGE_LIMIT: u64 = 100;

/// `cosmos.base.query.v1beta1.PageRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageQuery {
    /// The `next_key` of the page before; excludes an offset.
    pub key: Vec<u8>,
    /// How many items to skip.
    pub offset: u64,
    /// How many items to answer; 0 means 100, and counts the total.
    pub limit: u64,
    /// Whether to count all items.
    pub count_total: bool,
    /// From the end.
    pub reverse: bool,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// The key of the first item that is not here; empty at the end.
    pub next_key: Vec<u8>,
    /// How many items there are, if that was counted; otherwise 0.
    pub total: u64,
}

impl<T> Paged<T> {
    /// The page with every item replaced, or dropped: a page may then be short (chain 9.1).
    pub(super) fn filter_map<U>(self, change: impl FnMut(T) -> Option<U>) -> Paged<U> {
        Paged {
            items: self.items.into_iter().filter_map(change).collect(),
            next_key: self.next_key,
            total: self.total,
        }
    }
}

/// Reads one page of an ordered list of keys and items.
///
/// `entries(from)` answers the entries whose key is at least `from`, ascending; an empty `from` is the start. An absent
/// request is one for 100 items.
pub(super) fn paginate<T, I>(
    request: Option<&PageQuery>,
    entries: impl Fn(&[u8]) -> I,
) -> Result<Paged<T>, QueryError>
where
    I: DoubleEndedIterator<Item = (Vec<u8>, T)>,
{
    let fallback = PageQuery { limit: DEFAULT_PAGE_LIMIT, ..PageQuery::default() };
    let request = request.unwrap_or(&fallback);
    if request.offset > 0 && !request.key.is_empty() {
        return Err(QueryError::internal("invalid request, either offset or key is expected, got both"));
    }
    let (limit, count_total) = match request.limit {
        0 => (DEFAULT_PAGE_LIMIT, true),
        limit => (limit, request.count_total),
    };
    if !request.key.is_empty() {
        // No total is counted from the middle of a list.
        return Ok(if request.reverse {
            let up_to = entries(&[]).rev().skip_while(|(key, _)| *key > request.key);
            take_page(up_to, 0, limit, false)
        } else {
            take_page(entries(&request.key), 0, limit, false)
        });
    }
    Ok(if request.reverse {
        take_page(entries(&[]).rev(), request.offset, limit, count_total)
    } else {
        take_page(entries(&[]), request.offset, limit, count_total)
    })
}

fn take_page<T>(
    entries: impl Iterator<Item = (Vec<u8>, T)>,
    offset: u64,
    limit: u64,
    count_total: bool,
) -> Paged<T> {
    let mut page = Paged { items: Vec::new(), next_key: Vec::new(), total: 0 };
    let end = offset.saturating_add(limit);
    let mut position = 0_u64;
    for (key, item) in entries {
        if position >= offset && position < end {
            page.items.push(item);
        } else if position == end {
            page.next_key = key;
        }
        position += 1;
        if position > end && !count_total {
            break;
        }
    }
    if count_total {
        page.total = position;
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(request: Option<&PageQuery>) -> Result<Paged<u8>, QueryError> {
        paginate(request, |from| {
            let from = from.first().copied().unwrap_or(0);
            (from.max(1)..=5).map(|number| (vec![number], number))
        })
    }

    fn ask(change: impl FnOnce(&mut PageQuery)) -> Paged<u8> {
        let mut request = PageQuery { limit: 2, ..PageQuery::default() };
        change(&mut request);
        numbers(Some(&request)).unwrap()
    }

    #[test]
    fn pages_follow_each_other_in_both_directions() {
        let first = ask(|_| {});
        assert_eq!((first.items, first.next_key.clone(), first.total), (vec![1, 2], vec![3], 0));
        let second = ask(|request| request.key = first.next_key);
        assert_eq!((second.items, second.next_key), (vec![3, 4], vec![5]));
        let last = ask(|request| request.key = vec![5]);
        assert_eq!((last.items, last.next_key), (vec![5], vec![]));
        let back = ask(|request| request.reverse = true);
        assert_eq!((back.items, back.next_key), (vec![5, 4], vec![3]));
        let further = ask(|request| {
            request.reverse = true;
            request.key = vec![3];
        });
        assert_eq!((further.items, further.next_key), (vec![3, 2], vec![1]));
    }

    #[test]
    fn totals_are_counted_when_asked_for_or_without_a_limit() {
        assert_eq!(ask(|request| request.count_total = true).total, 5);
        let all = ask(|request| request.limit = 0);
        assert_eq!((all.items.len(), all.total), (5, 5));
        assert_eq!(numbers(None).unwrap().total, 0);
        let skipped = ask(|request| request.offset = 4);
        assert_eq!((skipped.items, skipped.next_key), (vec![5], vec![]));
    }

    #[test]
    fn offset_and_key_exclude_each_other() {
        let request = PageQuery { key: vec![1], offset: 1, ..PageQuery::default() };
        let error = numbers(Some(&request)).unwrap_err();
        assert!(error.message.contains("either offset or key is expected"));
    }
}
