//! The header and the exported C function of a native plugin.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, LitStr, Path, Result, Token};

struct Export {
    native: Path,
    plugin_id: LitStr,
    header: Expr,
    start: Expr,
}

impl Parse for Export {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let native = input.parse()?;
        input.parse::<Token![,]>()?;
        let plugin_id = input.parse()?;
        input.parse::<Token![,]>()?;
        let header = input.parse()?;
        input.parse::<Token![,]>()?;
        Ok(Self { native, plugin_id, header, start: input.parse()? })
    }
}

pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    let Export { native, plugin_id, header, start } = syn::parse2(input)?;
    let symbol = format!("lampkeeper_plugin_{}", plugin_id.value().replace('-', "_"));
    // `export_name` and `link_section` count as unsafe: two items of one name would be taken for each other, and bytes in
    // a section that means something to the loader could do harm. The name has the plugin's id in it, which is
    // unique in an image; the section is ours, and holds bytes that are only ever read.
    Ok(quote! {
        const HEADER: #native::Header = #header;

        #[unsafe(link_section = ".lampkeeper.plugin")]
        static SECTION: #native::Header = HEADER;

        static ENTRY: #native::Entry =
            #native::Entry { header: HEADER, section: &SECTION, start: #start };

        #[unsafe(export_name = #symbol)]
        extern "C" fn exported_entry() -> *const ::core::ffi::c_void {
            ::core::ptr::from_ref(&ENTRY).cast()
        }
    })
}
