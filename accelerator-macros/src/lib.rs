//! The attribute macros of `accelerator`, which re-exports them as `accelerator::macros`.
//!
//! They parse, check and expand to calls of `accelerator::__private`, and hold no cache logic: what a cached function does
//! is said in `accelerator::memoize`. Everything that the expansion needs is named by its whole path, so nothing has to be imported.
//!
//! The library is found under the name that the manifest of the compiled crate gives it (`accelerator`, another name by
//! `package = "accelerator"`, or `accelerator-core` alone). Where that is not the right one, each attribute takes
//! `crate = path`.

/// Tokens whose local names no expression of a user can see; `emit!(at span; ..)`: errors in them are shown there.
macro_rules! emit {
    (at $span:expr; $($tokens:tt)*) => {{
        let span: ::proc_macro2::Span = $span.resolved_at(::proc_macro2::Span::mixed_site());
        ::quote::quote_spanned!(span=> $($tokens)*)
    }};
    ($($tokens:tt)*) => { ::quote::quote_spanned!(::proc_macro2::Span::mixed_site()=> $($tokens)*) };
}

mod arguments;
mod batch;
mod boxed;
mod errors;
mod function;
mod key;
mod library;
mod manifest;
mod names;
mod options;
mod read;
mod scope;
mod suggest;
mod write;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;

use crate::errors::Errors;
use crate::function::Function;
use crate::options::{CACHE_EVICT, CACHE_EVICT_BATCH, CACHE_PUT, CACHEABLE, CACHEABLE_BATCH, Macro, Options};

#[doc = include_str!("../docs/cacheable.md")]
#[proc_macro_attribute]
pub fn cacheable(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(&CACHEABLE, arguments, item, |options, function, memoize, errors| {
        read::check(CACHEABLE.name, &function, errors);
        read::check_result(options, &function, &["cache", "key", "ttl", "condition"], errors);
        errors.is_empty().then(|| read::expand(options, function, memoize))
    })
}

#[doc = include_str!("../docs/cacheable_batch.md")]
#[proc_macro_attribute]
pub fn cacheable_batch(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(&CACHEABLE_BATCH, arguments, item, |options, function, memoize, errors| {
        read::check(CACHEABLE_BATCH.name, &function, errors);
        read::check_result(options, &function, &["cache", "ttl", "condition"], errors);
        let keys = batch::Keys::find(options, &function, errors)?;
        errors.is_empty().then(|| batch::expand(options, &keys, function, memoize))
    })
}

#[doc = include_str!("../docs/cache_put.md")]
#[proc_macro_attribute]
pub fn cache_put(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand_write(&CACHE_PUT, arguments, item)
}

#[doc = include_str!("../docs/cache_evict.md")]
#[proc_macro_attribute]
pub fn cache_evict(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand_write(&CACHE_EVICT, arguments, item)
}

#[doc = include_str!("../docs/cache_evict_batch.md")]
#[proc_macro_attribute]
pub fn cache_evict_batch(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand_write(&CACHE_EVICT_BATCH, arguments, item)
}

#[doc = include_str!("../docs/cache_key.md")]
#[proc_macro_derive(CacheKey)]
pub fn cache_key(item: TokenStream) -> TokenStream {
    let expanded = syn::parse(item).and_then(key::expand);
    expanded.unwrap_or_else(|error| error.into_compile_error()).into()
}

fn expand_write(of: &Macro, arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(of, arguments, item, |options, function, memoize, errors| {
        write::check(of, options, &function, errors);
        errors.is_empty().then(|| write::expand(of, options, function, memoize))
    })
}

/// The expansion; where there are errors, all of them and the item as it was, so that its callers have none.
fn expand(
    of: &Macro,
    arguments: TokenStream,
    item: TokenStream,
    then: impl FnOnce(&Options, Function, &Tokens, &mut Errors) -> Option<Tokens>,
) -> TokenStream {
    let mut errors = Errors::default();
    let item = Tokens::from(item);
    let options = Options::parse(of, arguments.into(), &mut errors);
    let function = Function::parse(of.name, item.clone(), &mut errors);
    let library = library::path(&options);
    let expanded = function.and_then(|function| then(&options, function, &quote!(#library::__private), &mut errors));
    let errors = errors.into_tokens();
    // Without the expansion its arguments are not used, which is not the mistake.
    let expanded = expanded.unwrap_or_else(|| quote!(#[allow(unused)] #item));
    quote!(#errors #expanded).into()
}
