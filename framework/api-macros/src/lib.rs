//! Generates, from the trait of a seam, what lets the seam cross a border between images.
//!
//! Owns the attribute [`macro@seam`] and the export of a native plugin's header and entry. What a wrapper does with a call
//! is decided at run time by `lampkeeper_api::guard`; nothing of that is here. Only `lampkeeper-api` uses the attribute.
#![forbid(unsafe_code)]

mod export;
mod method;
mod seam;

use proc_macro::TokenStream;

/// Makes a trait a seam that may cross a border.
///
/// `#[seam("store")]` stands in the place of `#[async_trait]` on a trait, and names the seam in accounts and messages.
/// Besides the trait it generates:
///
/// - the trait's implementation for `Guarded<P>`, for every pointer `P` to something that implements it;
/// - `Cross` for `Arc<dyn Trait>`, or for `Box<dyn Trait>` with `#[seam("message-stream", boxed)]`;
/// - `SeamTrait` for `dyn Trait`: the name, and a digest of the trait's tokens without their documentation.
///
/// Arguments must be plain data that implements `Debug`, results plain data that serde can write and read. Whatever
/// else crosses is marked, on the method or on the argument:
///
/// | mark | meaning |
/// | --- | --- |
/// | `#[seam(cross)]` on an argument | it holds live objects of the caller, which are wrapped on their way |
/// | `#[seam(live)]` on a method | its result holds live objects, or is borrowed: it is wrapped, and can't be recorded |
/// | `#[seam(or_never)]` on a method | there is no value to give if the call fails: the future never completes |
/// | `#[seam(with = path)]` on a method | argument and result belong together: a function makes the call |
#[proc_macro_attribute]
pub fn seam(attribute: TokenStream, item: TokenStream) -> TokenStream {
    seam::expand(attribute.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// What a native plugin carries besides its code: `export_plugin!(path::to::native, "my-store", HEADER, START)`.
///
/// The header's bytes in a section of the file, and a C function that returns a pointer to header and starting function. The
/// function's name has the plugin's id in it, so that several plugins can be linked into one image, a node as well as
/// a library. Only the SDK's `register_plugin!` uses it.
#[proc_macro]
pub fn export_plugin(input: TokenStream) -> TokenStream {
    export::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
