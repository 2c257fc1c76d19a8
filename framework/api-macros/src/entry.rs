//! The exported C function of a native plugin.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{LitStr, Path, Result, Token};

struct EntryArguments {
    plugin_id: LitStr,
    entry: Path,
}

impl Parse for EntryArguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let plugin_id = input.parse()?;
        input.parse::<Token![,]>()?;
        Ok(Self { plugin_id, entry: input.parse()? })
    }
}

pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    let EntryArguments { plugin_id, entry } = syn::parse2(input)?;
    let symbol = format!("lampkeeper_plugin_{}", plugin_id.value().replace('-', "_"));
    Ok(quote! {
        // The only name that a library exports. `export_name` counts as unsafe because two items of one name would be
        // taken for each other; the id in it is unique among the plugins of an image.
        #[unsafe(export_name = #symbol)]
        extern "C" fn exported_entry() -> *const ::core::ffi::c_void {
            ::core::ptr::from_ref(&#entry).cast()
        }
    })
}
