//! From a trait to its implementation for `Guarded`.

use crate::method;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Attribute, Ident, ItemTrait, LitStr, Result, Token, TraitItem};

/// The attribute's own arguments.
struct SeamArguments {
    name: LitStr,
    boxed: bool,
}

impl Parse for SeamArguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse()?;
        let mut boxed = false;
        if input.parse::<Option<Token![,]>>()?.is_some() {
            let word: Ident = input.parse()?;
            if word != "boxed" {
                return Err(syn::Error::new(word.span(), "the only option is `boxed`"));
            }
            boxed = true;
        }
        Ok(Self { name, boxed })
    }
}

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments: SeamArguments = syn::parse2(attribute)?;
    let item: ItemTrait = syn::parse2(item)?;
    let mut plain = item.clone();
    let mut methods = Vec::new();
    for entry in &mut plain.items {
        let TraitItem::Fn(function) = entry else {
            return Err(syn::Error::new(entry.span(), "a seam has methods and nothing else"));
        };
        let marks = method::Marks::take(function)?;
        methods.push(method::forward(&arguments.name, function, &marks)?);
    }
    let digest = digest(&plain);
    let is_async =
        |entry: &TraitItem| matches!(entry, TraitItem::Fn(function) if function.sig.asyncness.is_some());
    let async_trait = plain.items.iter().any(is_async).then(|| quote!(#[::async_trait::async_trait]));
    let implementation = implementation(&plain, &methods, async_trait.as_ref());
    let cross = cross(&plain.ident, arguments.boxed);
    let (ident, name) = (&plain.ident, &arguments.name);
    let method_names = plain.items.iter().filter_map(|entry| match entry {
        TraitItem::Fn(function) => Some(function.sig.ident.to_string()),
        _ => None,
    });
    Ok(quote! {
        #async_trait
        #plain

        #implementation

        #cross

        impl crate::guard::SeamTrait for dyn #ident {
            const NAME: &'static str = #name;
            const DIGEST: u64 = #digest;
            const METHODS: &'static [&'static str] = &[#(#method_names),*];
        }
    })
}

/// The trait for `Guarded`; nothing for one that is only the sum of others, which has an implementation for all.
fn implementation(
    plain: &ItemTrait,
    methods: &[TokenStream],
    async_trait: Option<&TokenStream>,
) -> TokenStream {
    if methods.is_empty() {
        return TokenStream::new();
    }
    let ident = &plain.ident;
    let exclusive =
        plain.items.iter().any(|entry| matches!(entry, TraitItem::Fn(f) if method::is_exclusive(f)));
    // A stream is used by one task at a time, everything else by many.
    let bounds = if exclusive {
        quote!(P: ::std::ops::DerefMut<Target: #ident> + Send)
    } else {
        quote!(P: ::std::ops::Deref<Target: #ident> + Send + Sync)
    };
    quote! {
        #async_trait
        impl<P> #ident for crate::guard::Guarded<P>
        where
            #bounds,
        {
            #(#methods)*
        }
    }
}

fn cross(ident: &Ident, boxed: bool) -> TokenStream {
    let pointer = if boxed { quote!(::std::boxed::Box) } else { quote!(::std::sync::Arc) };
    quote_spanned! {ident.span()=>
        impl crate::guard::Cross for #pointer<dyn #ident> {
            fn cross(self, border: &crate::guard::Border) -> Self {
                #pointer::new(crate::guard::Guarded::new(self, border.clone()))
            }
        }
    }
}

/// FNV-1a of the trait's tokens, documentation left out: it changes with every name, type and order of methods, which
/// are what the calls between two images depend on.
fn digest(plain: &ItemTrait) -> u64 {
    let mut bare = plain.clone();
    let is_code = |attribute: &Attribute| !attribute.path().is_ident("doc");
    bare.attrs.retain(is_code);
    for entry in &mut bare.items {
        if let TraitItem::Fn(function) = entry {
            function.attrs.retain(is_code);
        }
    }
    fnv1a(quote!(#bare).to_string().as_bytes())
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
