//! One method of a seam: its marks, and the forwarding method that calls it through a guard.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{FnArg, Ident, LitStr, Pat, Path, ReceiverKind, Result, ReturnType, TraitItemFn, Type};

/// What the marks on a method say.
#[derive(Default)]
pub(crate) struct Marks {
    live: bool,
    or_never: bool,
    with: Option<Path>,
    crossing: Vec<Ident>,
}

impl Marks {
    /// Reads the marks and takes them off.
    pub(crate) fn take(function: &mut TraitItemFn) -> Result<Self> {
        let mut marks = Self::default();
        for attribute in function.attrs.iter().filter(|attribute| attribute.path().is_ident("seam")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("live") {
                    marks.live = true;
                } else if meta.path.is_ident("or_never") {
                    marks.or_never = true;
                } else if meta.path.is_ident("with") {
                    marks.with = Some(meta.value()?.parse()?);
                } else {
                    return Err(meta.error("known marks of a method: live, or_never, with = path"));
                }
                Ok(())
            })?;
        }
        function.attrs.retain(|attribute| !attribute.path().is_ident("seam"));
        for argument in &mut function.sig.inputs {
            let FnArg::Typed(typed) = argument else { continue };
            let mut crosses = false;
            for attribute in typed.attrs.iter().filter(|attribute| attribute.path().is_ident("seam")) {
                attribute.parse_nested_meta(|meta| match meta.path.is_ident("cross") {
                    true => {
                        crosses = true;
                        Ok(())
                    }
                    false => Err(meta.error("the only mark of an argument is `cross`")),
                })?;
            }
            typed.attrs.retain(|attribute| !attribute.path().is_ident("seam"));
            if crosses {
                marks.crossing.push(name_of(&typed.pat)?);
            }
        }
        Ok(marks)
    }
}

/// The method as `Guarded` has it.
pub(crate) fn forward(seam: &LitStr, function: &TraitItemFn, marks: &Marks) -> Result<TokenStream> {
    let signature = &function.sig;
    let method = &signature.ident;
    let method_name = method.to_string();
    let arguments = argument_names(function)?;
    let body = match &marks.with {
        Some(path) => quote!(#path(&*self.inner, &self.border, &METHOD, #(#arguments),*)),
        None => call(function, marks, &arguments),
    };
    Ok(quote! {
        #signature {
            static METHOD: crate::guard::Method = crate::guard::Method::new(#seam, #method_name);
            #body
        }
    })
}

fn call(function: &TraitItemFn, marks: &Marks, arguments: &[Ident]) -> TokenStream {
    let method = &function.sig.ident;
    let shown = arguments.iter().map(|argument| {
        let name = argument.to_string();
        if marks.crossing.contains(argument) { quote!(#name) } else { quote!(&#argument) }
    });
    let format = arguments.iter().map(|name| format!("{name}: {{:?}}")).collect::<Vec<_>>().join(", ");
    let crossing = &marks.crossing;
    let inner = if is_exclusive(function) { quote!(&mut *self.inner) } else { quote!(&*self.inner) };
    let codec =
        if marks.live { quote!(crate::guard::Codec::none()) } else { quote!(crate::guard::Codec::json()) };
    let run = match (function.sig.asyncness.is_some(), is_boxed_future(&function.sig.output), marks.or_never)
    {
        (true, _, _) => quote!(passage.run(move || inner.#method(#(#arguments),*), #codec).await),
        (false, true, false) => quote!(passage.future(move || inner.#method(#(#arguments),*), #codec)),
        (false, true, true) => quote!(passage.future_or_never(move || inner.#method(#(#arguments),*))),
        (false, false, _) => quote!(passage.now(move || inner.#method(#(#arguments),*), #codec)),
    };
    let run = if marks.live { quote!({ let answer = #run; self.border.result(answer) }) } else { run };
    quote! {
        let passage = self.border.begin(&METHOD, ::core::format_args!(#format, #(#shown),*));
        #(let #crossing = self.border.argument(#crossing);)*
        let inner = #inner;
        #run
    }
}

/// Whether a method takes `&mut self`.
pub(crate) fn is_exclusive(function: &TraitItemFn) -> bool {
    let receiver = function.sig.receiver();
    receiver.is_some_and(|receiver| matches!(receiver.kind, ReceiverKind::Reference(_, _, Some(_))))
}

fn argument_names(function: &TraitItemFn) -> Result<Vec<Ident>> {
    function
        .sig
        .inputs
        .iter()
        .filter_map(|argument| match argument {
            FnArg::Typed(typed) => Some(name_of(&typed.pat)),
            FnArg::Receiver(_) => None,
        })
        .collect()
}

fn name_of(pattern: &Pat) -> Result<Ident> {
    match pattern {
        Pat::Ident(name) => Ok(name.ident.clone()),
        other => Err(syn::Error::new_spanned(other, "an argument of a seam has a plain name")),
    }
}

/// Whether a method returns our alias of a boxed future, and is thus asynchronous without `async`.
fn is_boxed_future(output: &ReturnType) -> bool {
    let ReturnType::Type(_, of) = output else { return false };
    let Type::Path(path) = &**of else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "BoxFuture")
}
