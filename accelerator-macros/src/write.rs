//! `cache_put`, `cache_evict` and `cache_evict_batch`: what the cache needs is copied, the body runs, the cache is told.

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::{Error, Expr};

use crate::errors::Errors;
use crate::function::{Function, Passing};
use crate::names;
use crate::options::{CACHE_EVICT_BATCH, CACHE_PUT, Macro, Options};
use crate::{read, scope};

/// What the cache is told, in the order of the tuple.
fn told(of: &Macro) -> &'static [&'static str] {
    match of.name {
        name if name == CACHE_PUT.name => &["key", "value"],
        name if name == CACHE_EVICT_BATCH.name => &["keys"],
        _ => &["key"],
    }
}

pub(crate) fn check(of: &Macro, options: &Options, function: &Function, errors: &mut Errors) {
    read::check_result(options, function, &["cache", "ttl"], errors);
    let after = ["key", "keys", "value", "condition"];
    if options.is_true("before") {
        read::check_result(options, function, &after, errors);
        return;
    }
    if function.bindings().iter().any(|(ident, _)| ident == "result") {
        let used = after.iter().find_map(|name| scope::free(options.get(name)?, "result"));
        if let Some(token) = used {
            let message = format!("in `{}`, `result` is what the body returned: rename the argument `result`", of.name);
            errors.push(Error::new(token.span(), message));
        }
    }
}

pub(crate) fn expand(of: &Macro, options: &Options, function: Function, memoize: &TokenStream) -> TokenStream {
    if options.is_true("before") {
        return before(of, options, function, memoize);
    }
    let (at, located) = options.blame(&function.ret, memoize);
    let name = Ident::new(of.name, at.resolved_at(Span::mixed_site()));
    let plan = Plan::new(of, options, memoize);
    let (kept, bind, cache) = cache(options, &function, &plan, memoize);
    let settings = settings(options, memoize);
    let (first, then) = (&plan.first, &plan.then);
    let first = function.localize(emit!(#settings #kept #first));
    // What is said after the body may name arguments that the body only borrows.
    let shares = plan.after.iter().any(|tokens| {
        let named = |(ident, passing): &(Ident, Passing)| {
            *passing != Passing::Shared && names::uses(tokens.clone(), &ident.to_string()).is_some()
        };
        function.bindings().iter().any(named)
    });
    let body = function.future((!shares).then(Default::default), &TokenStream::new());
    let tell = emit!(at at; #located::#name(#cache, __out, __write, #then).await);
    let tell = function.localize(read::let_go(&bind, tell));
    function.with_body(emit!(#first let __out = #body.await; #tell))
}

/// `before = true`
fn before(of: &Macro, options: &Options, function: Function, memoize: &TokenStream) -> TokenStream {
    let (at, located) = options.blame(&function.ret, memoize);
    let first =
        if of.name == CACHE_EVICT_BATCH.name { emit!(at at; evict_batch_first) } else { emit!(at at; evict_first) };
    let settings = settings(options, memoize);
    let (bind_cache, cache) = options.bound("cache", memoize);
    let (binds, whats): (Vec<_>, Vec<_>) = told(of).iter().map(|name| options.bound(name, memoize)).unzip();
    let typed = options.typed(&emit!(at at; #located::keys_of(#cache)));
    let evict = emit!(at at; #located::#first(#cache, #(#whats,)* __write).await);
    let mut evict = read::let_go(&emit!(#bind_cache #(#binds)* #typed), evict);
    if let Some(condition) = options.get("condition") {
        evict = emit!({ let __condition: ::core::primitive::bool = #condition; if __condition { #evict } else { ::core::option::Option::None } });
    }
    let before = function.localize(emit!(#settings let __first = #evict;));
    let body = function.future(Some(Default::default()), &TokenStream::new());
    let statements = emit! {
        #before
        match __first {
            ::core::option::Option::Some(__out) => __out,
            ::core::option::Option::None => #body.await,
        }
    };
    function.with_body(statements)
}

fn settings(options: &Options, memoize: &TokenStream) -> TokenStream {
    let calls = options.calls(&["ttl"]);
    let propagate = options.propagate().map(|_| emit!(.propagate()));
    emit!(let __write = #memoize::Write::new() #calls #propagate;)
}

/// What is evaluated before the body, and the closure that says the rest after it.
struct Plan {
    first: TokenStream,
    then: TokenStream,
    /// The expressions that name `result`.
    after: Vec<TokenStream>,
}

impl Plan {
    fn new(of: &Macro, options: &Options, memoize: &TokenStream) -> Self {
        let mut result = None;
        let mut after = Vec::new();
        let mut is_after = |expr: &Expr| {
            let token = scope::free(expr, "result");
            if token.is_some() {
                after.push(expr.to_token_stream());
            }
            result = result.take().or(token.clone());
            token.is_some()
        };
        let told: Vec<(Ident, TokenStream, bool)> = told(of)
            .iter()
            .filter_map(|name| {
                let expr = options.get(name)?;
                let local = Ident::new(&format!("__{name}"), Span::mixed_site());
                let value = if names::is_only(expr, "result") {
                    emit!(::core::clone::Clone::clone(#expr))
                } else {
                    names::keep(expr, memoize)
                };
                Some((local, value, is_after(expr)))
            })
            .collect();
        let condition = options.get("condition").map(|condition| (condition.to_token_stream(), is_after(condition)));
        let locals = |late: bool| told.iter().filter(move |told| told.2 == late).map(|(local, ..)| local);
        let values = |late: bool| told.iter().filter(move |told| told.2 == late).map(|(_, value, _)| value);
        let (early, early_values, late, late_values) =
            (Vec::from_iter(locals(false)), values(false), locals(true), values(true));
        let all = match told.as_slice() {
            [(local, ..)] => emit!(#local),
            several => {
                let several = several.iter().map(|(local, ..)| local);
                emit!((#(#several),*))
            }
        };
        // Where the key's type is open, the cache's keys say which: it is named for that, and not evaluated.
        let typed = options.typed(&emit!(__keys));
        let mut first = TokenStream::new();
        if !typed.is_empty() {
            let cache = options.borrowed("cache", ToTokens::to_token_stream);
            let (at, located) = options.locate("cache", memoize);
            let keys = emit!(at at; #located::keys_of(#cache));
            first = emit!(let __keys = if false { #keys } else { #memoize::Keys::of_another() };);
        }
        let (values_first, mut then) = match &condition {
            Some((condition, false)) => (
                emit! {
                    let __condition: ::core::primitive::bool = #condition;
                    let __before = if __condition { ::core::option::Option::Some((#(#early_values,)*)) }
                        else { ::core::option::Option::None };
                },
                emit! {
                    let (#(#early,)*) = __before?;
                    #(let #late = #late_values;)*
                    #typed
                    ::core::option::Option::Some(#all)
                },
            ),
            _ => (
                emit!(#(let #early = #early_values;)*),
                emit! {
                    #(let #late = #late_values;)*
                    #typed
                    ::core::option::Option::Some(#all)
                },
            ),
        };
        first.extend(values_first);
        if let Some((condition, true)) = condition {
            then = emit! {
                let __condition: ::core::primitive::bool = #condition;
                if __condition { #then } else { ::core::option::Option::None }
            };
        }
        let then = match result {
            None => emit!(move |_| { #then }),
            Some(token) => {
                // Bound so that the expressions see it.
                let parameter = Ident::new("result", token.span());
                emit!(at token.span(); move |#[allow(unused_variables)] #parameter| { #then })
            }
        };
        Self { first, then, after }
    }
}

/// Where the cache is reached through something that the body may take with it, a copy of the handle is made before;
/// otherwise it is borrowed after the body. What comes before the body, what after it, and the handle.
fn cache(
    options: &Options,
    function: &Function,
    plan: &Plan,
    memoize: &TokenStream,
) -> (TokenStream, TokenStream, TokenStream) {
    let cache = options.get("cache").to_token_stream();
    let taken = function.bindings().into_iter().any(|(ident, passing)| {
        let name = ident.to_string();
        let used = |tokens: &TokenStream| names::uses(function.localize(tokens.clone()), &name).is_some();
        let in_body = names::uses(function.body.clone(), &name).is_some()
            || names::uses(function.body.clone(), "__self").is_some() && name == "self";
        passing != Passing::Shared
            && (names::uses(cache.clone(), &name).is_some())
            && (in_body || plan.after.iter().any(used))
    });
    if !taken {
        let (bind, cache) = options.bound("cache", memoize);
        return (TokenStream::new(), bind, cache);
    }
    let owned = options.borrowed("cache", ToTokens::to_token_stream);
    (emit!(let __cache = #memoize::owned(#owned);), TokenStream::new(), emit!(&__cache))
}
