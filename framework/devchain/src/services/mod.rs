//! Which call is answered by what (wire 2.6 to 2.10, chain 9).
//!
//! Owns the list of answers. Each is a function from the chain and a request to an answer or a gRPC status; how calls
//! arrive is the router's business.

mod action;
mod audit;
mod cosmos;
mod supernode;

use crate::router::Router;
use lampkeeper_chain_sim::queries::{PageQuery, Paged, QueryCode, QueryError};
use lampkeeper_proto::cosmos::base::query::v1beta1::{PageRequest, PageResponse};
use tonic::{Code, Status};

/// Everything that the chain answers.
pub(crate) fn answer_all(router: &mut Router) {
    audit::answer(router);
    action::answer(router);
    supernode::answer(router);
    cosmos::answer(router);
}

/// A failed query with the status that the chain gives it (chain 9).
fn status(error: QueryError) -> Status {
    let code = match error.code {
        QueryCode::InvalidArgument => Code::InvalidArgument,
        QueryCode::NotFound => Code::NotFound,
        QueryCode::Internal => Code::Internal,
        _ => Code::Unknown,
    };
    Status::new(code, error.message)
}

fn page_query(request: Option<PageRequest>) -> Option<PageQuery> {
    request.map(|request| PageQuery {
        key: request.key,
        offset: request.offset,
        limit: request.limit,
        count_total: request.count_total,
        reverse: request.reverse,
    })
}

/// A page's items in their wire form, and where the next page starts.
fn paged<T, U>(page: Paged<T>, item: impl FnMut(&T) -> U) -> (Vec<U>, Option<PageResponse>) {
    let items = page.items.iter().map(item).collect();
    (items, Some(PageResponse { next_key: page.next_key, total: page.total }))
}
