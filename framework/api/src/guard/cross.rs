//! How things cross a border: live objects are wrapped, and so are those inside of others.
//!
//! Owns the containers; the attribute `seam` writes the implementation for each seam's trait object. Plain data crosses
//! as it is and needs no implementation.

use super::{Border, Method};
use crate::BoxFuture;
use crate::plugin::Provided;
use crate::scheduler::Permit;
use crate::transport::{Handler, Route, Router};

/// Something alive that crosses a border.
pub trait Cross: Sized {
    /// The same, wrapped.
    #[must_use]
    fn cross(self, border: &Border) -> Self;
}

/// Borrowed text: the border is for what is alive.
impl Cross for &str {
    fn cross(self, _: &Border) -> Self {
        self
    }
}

impl<T: Cross> Cross for Option<T> {
    fn cross(self, border: &Border) -> Self {
        self.map(|inner| inner.cross(border))
    }
}

impl<T: Cross, E> Cross for Result<T, E> {
    fn cross(self, border: &Border) -> Self {
        self.map(|inner| inner.cross(border))
    }
}

impl<T: Cross> Cross for Vec<T> {
    fn cross(self, border: &Border) -> Self {
        self.into_iter().map(|inner| inner.cross(border)).collect()
    }
}

/// What the future brings is wrapped when it is there; the future itself has been.
impl<'a, T: Cross + 'a> Cross for BoxFuture<'a, T> {
    fn cross(self, border: &Border) -> Self {
        let border = border.clone();
        Box::pin(async move { self.await.cross(&border) })
    }
}

impl Cross for Handler {
    fn cross(self, border: &Border) -> Self {
        match self {
            Self::Unary(handler) => Self::Unary(handler.cross(border)),
            Self::ServerStream(handler) => Self::ServerStream(handler.cross(border)),
        }
    }
}

impl Cross for Route {
    fn cross(self, border: &Border) -> Self {
        Self { path: self.path, handler: self.handler.cross(border) }
    }
}

impl Cross for Router {
    fn cross(self, border: &Border) -> Self {
        self.map_handlers(|handler| handler.cross(border))
    }
}

/// Giving a permit back calls into whoever gave it.
impl Cross for Permit {
    fn cross(self, border: &Border) -> Self {
        static RELEASE: Method = Method::new("permit", "release");
        let border = border.clone();
        Self::new(move || {
            let passage = border.begin(&RELEASE, format_args!(""));
            passage.now(move || drop(self), super::Codec::none());
        })
    }
}

impl Cross for Provided {
    fn cross(self, border: &Border) -> Self {
        Self {
            chain_reader: self.chain_reader.cross(border),
            chain: self.chain.cross(border),
            store: self.store.cross(border),
            staging: self.staging.cross(border),
            journal: self.journal.cross(border),
            transport: self.transport.cross(border),
            network: self.network.cross(border),
            scheduler: self.scheduler.cross(border),
            signer: self.signer.cross(border),
            heal_strategy: self.heal_strategy.cross(border),
            heal_shadow: self.heal_shadow.cross(border),
            challenger: self.challenger.cross(border),
            services: self.services.cross(border),
            close: self.close.cross(border),
        }
    }
}
